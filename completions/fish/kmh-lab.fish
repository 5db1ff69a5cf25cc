# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_kmh_lab_global_optspecs
    string join \n lab= i/input= o/output= only write= dry-run strict q/quiet v/verbose color= limit= schema= h/help V/version
end

function __fish_kmh_lab_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_kmh_lab_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_kmh_lab_using_subcommand
    set -l cmd (__fish_kmh_lab_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -s V -l version -d 'Print version'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "up" -d 'Build the lab, or apply the difference to one that is up'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "exec" -d 'Run a command in a machine, and give its exit code'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "ping" -d 'Who reaches whom: every machine and pod, or those named'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "trace" -d 'The way of a packet as the kernels route it'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "capture" -d 'Record packets into a file that tcpdump and wireshark read'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "cut" -d 'Break something: `tunnel/NAME`, `uplink/ROUTER/LINE`, `router/NAME`, `site/NAME`, `node/NAME`, `daemon/MACHINE:DAEMON`'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "heal" -d 'Mend what `cut` or `slow` did; everything when nothing is named'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "slow" -d 'Give a line delay, loss and rate'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "redial" -d 'Give a dynamic line another address, as its provider does once a day; its name follows'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "kill" -d 'Kill a daemon without a word to it: `MACHINE:DAEMON`'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "measure" -d 'Break something under a steady stream of probes, and tell how long which traffic was lost'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "doctor" -d 'What this machine can do, and which package brings the rest'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "down" -d 'Take the lab away: processes, namespaces, links, mounts, files'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "init" -d 'The first process of a machine'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "receive" -d 'Write files into the machine that it runs in'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "probe" -d 'Ask for TCP connections all the time'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "answer" -d 'A pod: tells whoever calls by HTTP its node, and the caller\'s address'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "systemctl" -d 'What systemd would do, in a light machine'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "stand-in" -d 'Make pfSense\'s tunnels in the machine that stands in for one'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "forget" -d 'The kernel forgets the connections of the namespace that it runs in'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "split" -d 'One file for each tunnel out of swanctl\'s'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "vm-init" -d 'The first process of a guest'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "vm-agent" -d 'What takes commands in a guest'
complete -c kmh-lab -n "__fish_kmh_lab_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l store -d 'The store that secrets are read from; needed when the bundle refers to any [env: KMH_STORE]' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l identity -d 'Opens an encrypted store: an age identity [env: KMH_IDENTITY]' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l tunnels -d 'How tunnels are carried [default: esp where the kernel can, else userspace where that can, else plain]' -r -f -a "esp\t'By the kernel\'s ESP and XFRM interfaces, with strongSwan'
userspace\t'By strongSwan\'s own ESP (kernel-libipsec), a charon for each tunnel'
plain\t'By a link that encrypts nothing'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l service -d 'A service with `externalTrafficPolicy: Local`: its address, and the nodes that have a pod of it' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l services -d 'Services, as `kubectl get services,endpointslices -A -o json` prints them' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l full -d 'Boot this machine as a complete system; `all` for every one' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l cache -d 'Where roots of complete machines are kept' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l no-wait -d 'Do not wait until all sessions are up and all routes are there'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l vm -d 'In a guest with a stock Debian kernel'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand up" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand exec" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand exec" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand exec" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand exec" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand exec" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand exec" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand exec" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand exec" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand exec" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand exec" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand exec" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand exec" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand exec" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand ping" -l size -d 'Octets of the IP packet, which no router may take apart' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand ping" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand ping" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand ping" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand ping" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand ping" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand ping" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand ping" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand ping" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand ping" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand ping" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand ping" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand ping" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand ping" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand trace" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand trace" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand trace" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand trace" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand trace" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand trace" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand trace" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand trace" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand trace" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand trace" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand trace" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand trace" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand trace" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand capture" -l to -d 'The file to write' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand capture" -l for -d 'End after so many seconds' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand capture" -l count -d 'End after so many packets' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand capture" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand capture" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand capture" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand capture" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand capture" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand capture" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand capture" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand capture" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand capture" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand capture" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand capture" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand capture" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand capture" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand cut" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand cut" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand cut" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand cut" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand cut" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand cut" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand cut" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand cut" -l silent -d 'Packets vanish and interfaces stay up, as when a line dies somewhere; a daemon hangs (the default)'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand cut" -l clean -d 'Interfaces go down and daemons are stopped in order'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand cut" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand cut" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand cut" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand cut" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand cut" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand cut" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand heal" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand heal" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand heal" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand heal" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand heal" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand heal" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand heal" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand heal" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand heal" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand heal" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand heal" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand heal" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand heal" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand slow" -l rtt -d 'Round trip in milliseconds' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand slow" -l loss -d 'Lost packets, percent' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand slow" -l rate -d 'Rate, such as 10mbit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand slow" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand slow" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand slow" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand slow" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand slow" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand slow" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand slow" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand slow" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand slow" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand slow" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand slow" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand slow" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand slow" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand redial" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand redial" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand redial" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand redial" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand redial" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand redial" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand redial" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand redial" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand redial" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand redial" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand redial" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand redial" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand redial" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand kill" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand kill" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand kill" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand kill" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand kill" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand kill" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand kill" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand kill" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand kill" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand kill" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand kill" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand kill" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand kill" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand measure" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand measure" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand measure" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand measure" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand measure" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand measure" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand measure" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand measure" -l clean -d 'How: silently (the default) or cleanly'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand measure" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand measure" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand measure" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand measure" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand measure" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand measure" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand doctor" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand doctor" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand doctor" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand doctor" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand doctor" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand doctor" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand doctor" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand doctor" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand doctor" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand doctor" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand doctor" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand doctor" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand down" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand down" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand down" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand down" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand down" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand down" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand down" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand down" -l all -d 'Every lab on this machine, also what is left of one that was killed'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand down" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand down" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand down" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand down" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand down" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand down" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand init" -l state -d 'The lab\'s folder' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand init" -l hide -d 'Folders that the machine must not see' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand init" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand init" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand init" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand init" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand init" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand init" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand init" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand init" -l shared -d 'Use the files of this machine as they are, instead of a copy of its own'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand init" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand init" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand init" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand init" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand init" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand receive" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand receive" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand receive" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand receive" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand receive" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand receive" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand receive" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand receive" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand receive" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand receive" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand receive" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand receive" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand receive" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand probe" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand probe" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand probe" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand probe" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand probe" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand probe" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand probe" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand probe" -l datagram -d 'Ask by datagrams, which only somebody who refuses answers'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand probe" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand probe" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand probe" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand probe" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand probe" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand probe" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand answer" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand answer" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand answer" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand answer" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand answer" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand answer" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand answer" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand answer" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand answer" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand answer" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand answer" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand answer" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand answer" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand systemctl" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand systemctl" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand systemctl" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand systemctl" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand systemctl" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand systemctl" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand systemctl" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand systemctl" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand systemctl" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand systemctl" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand systemctl" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand systemctl" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand systemctl" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand stand-in" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand stand-in" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand stand-in" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand stand-in" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand stand-in" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand stand-in" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand stand-in" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand stand-in" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand stand-in" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand stand-in" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand stand-in" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand stand-in" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand stand-in" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand forget" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand forget" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand forget" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand forget" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand forget" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand forget" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand forget" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand forget" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand forget" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand forget" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand forget" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand forget" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand split" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand split" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand split" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand split" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand split" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand split" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand split" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand split" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand split" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand split" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand split" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand split" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand split" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-init" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-init" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-init" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-init" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-init" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-init" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-init" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-init" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-init" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-init" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-init" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-init" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-agent" -l lab -d 'The lab\'s name [default: the cluster\'s name for `up`, else the only lab that is up]' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-agent" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-agent" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-agent" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-agent" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-agent" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-agent" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-agent" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-agent" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-agent" -l strict -d 'Treat warnings as errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-agent" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-agent" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand vm-agent" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "up" -d 'Build the lab, or apply the difference to one that is up'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "exec" -d 'Run a command in a machine, and give its exit code'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "ping" -d 'Who reaches whom: every machine and pod, or those named'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "trace" -d 'The way of a packet as the kernels route it'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "capture" -d 'Record packets into a file that tcpdump and wireshark read'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "cut" -d 'Break something: `tunnel/NAME`, `uplink/ROUTER/LINE`, `router/NAME`, `site/NAME`, `node/NAME`, `daemon/MACHINE:DAEMON`'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "heal" -d 'Mend what `cut` or `slow` did; everything when nothing is named'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "slow" -d 'Give a line delay, loss and rate'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "redial" -d 'Give a dynamic line another address, as its provider does once a day; its name follows'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "kill" -d 'Kill a daemon without a word to it: `MACHINE:DAEMON`'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "measure" -d 'Break something under a steady stream of probes, and tell how long which traffic was lost'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "doctor" -d 'What this machine can do, and which package brings the rest'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "down" -d 'Take the lab away: processes, namespaces, links, mounts, files'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "init" -d 'The first process of a machine'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "receive" -d 'Write files into the machine that it runs in'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "probe" -d 'Ask for TCP connections all the time'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "answer" -d 'A pod: tells whoever calls by HTTP its node, and the caller\'s address'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "systemctl" -d 'What systemd would do, in a light machine'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "stand-in" -d 'Make pfSense\'s tunnels in the machine that stands in for one'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "forget" -d 'The kernel forgets the connections of the namespace that it runs in'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "split" -d 'One file for each tunnel out of swanctl\'s'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "vm-init" -d 'The first process of a guest'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "vm-agent" -d 'What takes commands in a guest'
complete -c kmh-lab -n "__fish_kmh_lab_using_subcommand help; and not __fish_seen_subcommand_from up exec ping trace capture cut heal slow redial kill measure doctor down init receive probe answer systemctl stand-in forget split vm-init vm-agent help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
