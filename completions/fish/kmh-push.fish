# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_kmh_push_global_optspecs
    string join \n to= store= artifacts= store-identity= root= known-hosts= identity= patience= jobs= i/input= o/output= only write= dry-run strict q/quiet v/verbose color= limit= schema= h/help V/version
end

function __fish_kmh_push_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_kmh_push_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_kmh_push_using_subcommand
    set -l cmd (__fish_kmh_push_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c kmh-push -n "__fish_kmh_push_needs_command" -l to -d 'Where to: `dir:PATH` (one folder a machine below PATH) or `ssh` (the machines themselves)' -r
complete -c kmh-push -n "__fish_kmh_push_needs_command" -l store -d 'The store that secrets are read from; needed when the bundle refers to any [env: KMH_STORE]' -r -F
complete -c kmh-push -n "__fish_kmh_push_needs_command" -l artifacts -d 'Install the bundle\'s programs too, from this folder: downloads as upstream names them, archives unopened, or `ARCH/NAME`' -r -F
complete -c kmh-push -n "__fish_kmh_push_needs_command" -l store-identity -d 'Opens an encrypted store: an age identity [env: KMH_IDENTITY]' -r -F
complete -c kmh-push -n "__fish_kmh_push_needs_command" -l root -d 'With `--to ssh`: put this folder before every path, `{machine}` in it being the machine\'s name; units are then not touched' -r
complete -c kmh-push -n "__fish_kmh_push_needs_command" -l known-hosts -d 'With `--to ssh`: the file of trusted host keys [default: `~/.ssh/known_hosts`]' -r -F
complete -c kmh-push -n "__fish_kmh_push_needs_command" -l identity -d 'With `--to ssh`: private key file to log in with, before what the inventory says' -r -F
complete -c kmh-push -n "__fish_kmh_push_needs_command" -l patience -d 'With `--to ssh`: so many seconds a restarted etcd or API server may take until it serves, before it has failed' -r
complete -c kmh-push -n "__fish_kmh_push_needs_command" -l jobs -d 'How many machines are worked on at a time' -r
complete -c kmh-push -n "__fish_kmh_push_needs_command" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-push -n "__fish_kmh_push_needs_command" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-push -n "__fish_kmh_push_needs_command" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-push -n "__fish_kmh_push_needs_command" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-push -n "__fish_kmh_push_needs_command" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-push -n "__fish_kmh_push_needs_command" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-push -n "__fish_kmh_push_needs_command" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-push -n "__fish_kmh_push_needs_command" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-push -n "__fish_kmh_push_needs_command" -l strict -d 'Treat warnings as errors'
complete -c kmh-push -n "__fish_kmh_push_needs_command" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-push -n "__fish_kmh_push_needs_command" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-push -n "__fish_kmh_push_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-push -n "__fish_kmh_push_needs_command" -s V -l version -d 'Print version'
complete -c kmh-push -n "__fish_kmh_push_needs_command" -f -a "apply" -d 'Make the machines hold what the bundle says (the default)'
complete -c kmh-push -n "__fish_kmh_push_needs_command" -f -a "fetch" -d 'List the addresses of programs that `--artifacts` lacks, one a line, or of all; nothing is downloaded'
complete -c kmh-push -n "__fish_kmh_push_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -l to -d 'Where to: `dir:PATH` (one folder a machine below PATH) or `ssh` (the machines themselves)' -r
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -l store -d 'The store that secrets are read from; needed when the bundle refers to any [env: KMH_STORE]' -r -F
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -l artifacts -d 'Install the bundle\'s programs too, from this folder: downloads as upstream names them, archives unopened, or `ARCH/NAME`' -r -F
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -l store-identity -d 'Opens an encrypted store: an age identity [env: KMH_IDENTITY]' -r -F
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -l root -d 'With `--to ssh`: put this folder before every path, `{machine}` in it being the machine\'s name; units are then not touched' -r
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -l known-hosts -d 'With `--to ssh`: the file of trusted host keys [default: `~/.ssh/known_hosts`]' -r -F
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -l identity -d 'With `--to ssh`: private key file to log in with, before what the inventory says' -r -F
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -l patience -d 'With `--to ssh`: so many seconds a restarted etcd or API server may take until it serves, before it has failed' -r
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -l jobs -d 'How many machines are worked on at a time' -r
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -l strict -d 'Treat warnings as errors'
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-push -n "__fish_kmh_push_using_subcommand apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -l to -d 'Where to: `dir:PATH` (one folder a machine below PATH) or `ssh` (the machines themselves)' -r
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -l store -d 'The store that secrets are read from; needed when the bundle refers to any [env: KMH_STORE]' -r -F
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -l artifacts -d 'Install the bundle\'s programs too, from this folder: downloads as upstream names them, archives unopened, or `ARCH/NAME`' -r -F
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -l store-identity -d 'Opens an encrypted store: an age identity [env: KMH_IDENTITY]' -r -F
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -l root -d 'With `--to ssh`: put this folder before every path, `{machine}` in it being the machine\'s name; units are then not touched' -r
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -l known-hosts -d 'With `--to ssh`: the file of trusted host keys [default: `~/.ssh/known_hosts`]' -r -F
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -l identity -d 'With `--to ssh`: private key file to log in with, before what the inventory says' -r -F
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -l patience -d 'With `--to ssh`: so many seconds a restarted etcd or API server may take until it serves, before it has failed' -r
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -l jobs -d 'How many machines are worked on at a time' -r
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -l strict -d 'Treat warnings as errors'
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-push -n "__fish_kmh_push_using_subcommand fetch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-push -n "__fish_kmh_push_using_subcommand help; and not __fish_seen_subcommand_from apply fetch help" -f -a "apply" -d 'Make the machines hold what the bundle says (the default)'
complete -c kmh-push -n "__fish_kmh_push_using_subcommand help; and not __fish_seen_subcommand_from apply fetch help" -f -a "fetch" -d 'List the addresses of programs that `--artifacts` lacks, one a line, or of all; nothing is downloaded'
complete -c kmh-push -n "__fish_kmh_push_using_subcommand help; and not __fish_seen_subcommand_from apply fetch help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
