# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_kmh_bgpcfg_global_optspecs
    string join \n i/input= o/output= only write= dry-run strict q/quiet v/verbose color= limit= schema= h/help V/version
end

function __fish_kmh_bgpcfg_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_kmh_bgpcfg_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_kmh_bgpcfg_using_subcommand
    set -l cmd (__fish_kmh_bgpcfg_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -l strict -d 'Treat warnings as errors'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -s V -l version -d 'Print version'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -f -a "plan" -d 'Compute the network (the default)'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -f -a "predict" -d 'The tables of every router and node, and what is wrong with them'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -f -a "what-if" -d 'What still reaches what when something is down, what moved where, and how long it took'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -f -a "why" -d 'The way of one packet and of its answer, hop by hop, with the rule and the decision at each'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -f -a "draw" -d 'The topology as a picture: -o svg (the default), dot, mermaid'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand plan" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand plan" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand plan" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand plan" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand plan" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand plan" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand plan" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand plan" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand plan" -l strict -d 'Treat warnings as errors'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand plan" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand plan" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand predict" -l down -d 'What is down: tunnel/NAME, uplink/ROUTER/LINE, router/NAME, site/NAME, node/NAME; may be repeated' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand predict" -l service -d 'A service with `externalTrafficPolicy: Local`: its address, and the nodes with a ready pod of it' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand predict" -l services -d 'Services, as `kubectl get services,endpointslices -A -o json` prints them' -r -F
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand predict" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand predict" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand predict" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand predict" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand predict" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand predict" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand predict" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand predict" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand predict" -l strict -d 'Treat warnings as errors'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand predict" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand predict" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand predict" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -l down -d 'What is down: tunnel/NAME, uplink/ROUTER/LINE, router/NAME, site/NAME, node/NAME; may be repeated' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -l service -d 'A service with `externalTrafficPolicy: Local`: its address, and the nodes with a ready pod of it' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -l services -d 'Services, as `kubectl get services,endpointslices -A -o json` prints them' -r -F
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -l of -d 'With --all-single and --all-pairs: only things of these kinds' -r -f -a "site\t''
router\t''
uplink\t''
tunnel\t''
node\t''"
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -l all-single -d 'Every single site, router, uplink, tunnel and node in turn, beside what --down names'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -l all-pairs -d 'Every two of them'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -l strict -d 'Treat warnings as errors'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand what-if" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand why" -l down -d 'What is down: tunnel/NAME, uplink/ROUTER/LINE, router/NAME, site/NAME, node/NAME; may be repeated' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand why" -l service -d 'A service with `externalTrafficPolicy: Local`: its address, and the nodes with a ready pod of it' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand why" -l services -d 'Services, as `kubectl get services,endpointslices -A -o json` prints them' -r -F
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand why" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand why" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand why" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand why" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand why" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand why" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand why" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand why" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand why" -l strict -d 'Treat warnings as errors'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand why" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand why" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand why" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -l nodes -d 'Which nodes have a box of their own' -r -f -a "auto\t'All of a site with up to 12 nodes, in clusters of up to 24 sites'
each\t'Every one'
count\t'None but those that are down or on the path'"
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -l path -d 'The way of a packet, as `why` takes it: two machines or addresses' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -l down -d 'What is down: tunnel/NAME, uplink/ROUTER/LINE, router/NAME, site/NAME, node/NAME; may be repeated' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -l service -d 'A service with `externalTrafficPolicy: Local`: its address, and the nodes with a ready pod of it' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -l services -d 'Services, as `kubectl get services,endpointslices -A -o json` prints them' -r -F
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -l strict -d 'Treat warnings as errors'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand draw" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand help; and not __fish_seen_subcommand_from plan predict what-if why draw help" -f -a "plan" -d 'Compute the network (the default)'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand help; and not __fish_seen_subcommand_from plan predict what-if why draw help" -f -a "predict" -d 'The tables of every router and node, and what is wrong with them'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand help; and not __fish_seen_subcommand_from plan predict what-if why draw help" -f -a "what-if" -d 'What still reaches what when something is down, what moved where, and how long it took'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand help; and not __fish_seen_subcommand_from plan predict what-if why draw help" -f -a "why" -d 'The way of one packet and of its answer, hop by hop, with the rule and the decision at each'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand help; and not __fish_seen_subcommand_from plan predict what-if why draw help" -f -a "draw" -d 'The topology as a picture: -o svg (the default), dot, mermaid'
complete -c kmh-bgpcfg -n "__fish_kmh_bgpcfg_using_subcommand help; and not __fish_seen_subcommand_from plan predict what-if why draw help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
