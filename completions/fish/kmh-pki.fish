# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_kmh_pki_global_optspecs
    string join \n store= init requests= force identity= recipient= recipients= repair expired i/input= o/output= only write= dry-run strict q/quiet v/verbose color= limit= schema= h/help V/version
end

function __fish_kmh_pki_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_kmh_pki_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_kmh_pki_using_subcommand
    set -l cmd (__fish_kmh_pki_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -l store -d 'The store: a directory, never assumed [env: KMH_STORE]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -l requests -d 'Write what a CA has to sign whose key is elsewhere to FILE, for `sign --requests`' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -l identity -d 'Opens an encrypted store: an age identity [env: KMH_IDENTITY]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -l recipient -d 'Encrypt the keys of the store to this age recipient; may be repeated; names all there are to be' -r
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -l recipients -d 'The same, from a file: one recipient a line' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -l init -d 'Make the store when it is missing or empty; harmless when it is there'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -l force -d 'Replace FILE whatever it is; an earlier request set of the same store is replaced without it'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -l repair -d 'Mend the modes of keys that others may read, and of folders that others may look into'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -l expired -d 'Make certificates again although every one of them has ended: the clock is right'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -l strict -d 'Treat warnings as errors'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -s V -l version -d 'Print version'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -f -a "ensure" -d 'Make what is missing, wrong or about to end (the default)'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -f -a "status" -d 'What ends when, and who uses it; exit code 1 when something is due'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -f -a "verify" -d 'The whole store against the inventory and RFC 5280; exit code 1 when something is wrong'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -f -a "rotate" -d 'Replace a CA or a key in stages, one at each call; say what has to follow'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -f -a "kubeconfig" -d 'A kubeconfig for a person, or for an emergency'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -f -a "sign" -d 'Sign the request of a machine whose key stays on it'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -f -a "import" -d 'Make a store of a PKI that kubeadm or a guide made, or take in what a CA elsewhere signed'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -f -a "export" -d 'Write the PKI as kubeadm or the guides lay it out, or the store as a tar; keys are among it'
complete -c kmh-pki -n "__fish_kmh_pki_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -l requests -d 'Write what a CA has to sign whose key is elsewhere to FILE, for `sign --requests`' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -l store -d 'The store: a directory, never assumed [env: KMH_STORE]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -l identity -d 'Opens an encrypted store: an age identity [env: KMH_IDENTITY]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -l recipient -d 'Encrypt the keys of the store to this age recipient; may be repeated; names all there are to be' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -l recipients -d 'The same, from a file: one recipient a line' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -l force -d 'Replace FILE whatever it is; an earlier request set of the same store is replaced without it'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -l init -d 'Make the store when it is missing or empty; harmless when it is there'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -l repair -d 'Mend the modes of keys that others may read, and of folders that others may look into'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -l expired -d 'Make certificates again although every one of them has ended: the clock is right'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -l strict -d 'Treat warnings as errors'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand ensure" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -l within -d 'Due is what ends within this time, such as `12h`, `30d`, `2w`; without it, what `ensure` would make again, and a CA or root that ends before a certificate made now would' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -l store -d 'The store: a directory, never assumed [env: KMH_STORE]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -l identity -d 'Opens an encrypted store: an age identity [env: KMH_IDENTITY]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -l recipient -d 'Encrypt the keys of the store to this age recipient; may be repeated; names all there are to be' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -l recipients -d 'The same, from a file: one recipient a line' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -l init -d 'Make the store when it is missing or empty; harmless when it is there'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -l repair -d 'Mend the modes of keys that others may read, and of folders that others may look into'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -l expired -d 'Make certificates again although every one of them has ended: the clock is right'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -l strict -d 'Treat warnings as errors'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -l store -d 'The store: a directory, never assumed [env: KMH_STORE]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -l identity -d 'Opens an encrypted store: an age identity [env: KMH_IDENTITY]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -l recipient -d 'Encrypt the keys of the store to this age recipient; may be repeated; names all there are to be' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -l recipients -d 'The same, from a file: one recipient a line' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -l init -d 'Make the store when it is missing or empty; harmless when it is there'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -l repair -d 'Mend the modes of keys that others may read, and of folders that others may look into'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -l expired -d 'Make certificates again although every one of them has ended: the clock is right'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -l strict -d 'Treat warnings as errors'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l requests -d 'The first stage where the root\'s key is elsewhere: write what it has to sign to FILE, for `kmh-pki sign --requests`' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l store -d 'The store: a directory, never assumed [env: KMH_STORE]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l identity -d 'Opens an encrypted store: an age identity [env: KMH_IDENTITY]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l recipient -d 'Encrypt the keys of the store to this age recipient; may be repeated; names all there are to be' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l recipients -d 'The same, from a file: one recipient a line' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l deployed -d 'What the last stage asks for is done: deployed, and what no report shows, too'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l abort -d 'Take back a rotation whose next generation is only trusted yet'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l force -d 'Replace FILE whatever it is; an earlier request set of the same store is replaced without it'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l init -d 'Make the store when it is missing or empty; harmless when it is there'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l repair -d 'Mend the modes of keys that others may read, and of folders that others may look into'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l expired -d 'Make certificates again although every one of them has ended: the clock is right'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -l strict -d 'Treat warnings as errors'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand rotate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l user -d 'Who it is for: what Kubernetes calls the user' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l group -d 'A group of the user; may be repeated' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l days -d 'Days that it lets the user in' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l to -d 'Write it to FILE, readable by its owner only; `-` is stdout, and never a terminal' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l store -d 'The store: a directory, never assumed [env: KMH_STORE]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l identity -d 'Opens an encrypted store: an age identity [env: KMH_IDENTITY]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l recipient -d 'Encrypt the keys of the store to this age recipient; may be repeated; names all there are to be' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l recipients -d 'The same, from a file: one recipient a line' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l admin -d 'An admin: in the group `kubeadm:cluster-admins`, which RBAC can take away again'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l break-glass -d 'For an emergency: the store\'s own admin in `system:masters`, whom nothing can stop'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l force -d 'Replace FILE when it is there'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l init -d 'Make the store when it is missing or empty; harmless when it is there'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l repair -d 'Mend the modes of keys that others may read, and of folders that others may look into'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l expired -d 'Make certificates again although every one of them has ended: the clock is right'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -l strict -d 'Treat warnings as errors'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand kubeconfig" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l csr -d 'The request of a machine, PKCS #10 in PEM or DER; `-` is stdin' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l as -d 'Which certificate of the table it becomes; found by subject and names when left out' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l requests -d 'Sign all that `ensure --requests` wrote, with the keys of the store that `--store` names; `-` is stdin' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l to -d 'Write the certificate, or the signed set, to FILE, `-` to stdout; without it, `-o text` prints the certificate' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l store -d 'The store: a directory, never assumed [env: KMH_STORE]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l identity -d 'Opens an encrypted store: an age identity [env: KMH_IDENTITY]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l recipient -d 'Encrypt the keys of the store to this age recipient; may be repeated; names all there are to be' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l recipients -d 'The same, from a file: one recipient a line' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l force -d 'Replace FILE whatever it is; what this store wrote for the same is replaced without it'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l init -d 'Make the store when it is missing or empty; harmless when it is there'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l repair -d 'Mend the modes of keys that others may read, and of folders that others may look into'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l expired -d 'Make certificates again although every one of them has ended: the clock is right'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -l strict -d 'Treat warnings as errors'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand sign" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l from -d 'The folder to read, or NODE=DIR for one machine\'s; may be repeated' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l layout -d 'Whose names the files have; found by itself when it is left out' -r -f -a "kubeadm\t'Below `/etc/kubernetes`, as kubeadm 1.36 has it'
hard-way\t'The flat folder of the guides that set a cluster up the hard way'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l signed -d 'What `kmh-pki sign --requests` wrote, or certificates in PEM from a CA that is not kmh-pki\'s; `-` is stdin' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l store -d 'The store: a directory, never assumed [env: KMH_STORE]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l identity -d 'Opens an encrypted store: an age identity [env: KMH_IDENTITY]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l recipient -d 'Encrypt the keys of the store to this age recipient; may be repeated; names all there are to be' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l recipients -d 'The same, from a file: one recipient a line' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l init -d 'Make the store when it is missing or empty; harmless when it is there'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l repair -d 'Mend the modes of keys that others may read, and of folders that others may look into'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l expired -d 'Make certificates again although every one of them has ended: the clock is right'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -l strict -d 'Treat warnings as errors'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l layout -d 'kubeadm and hard-way: one folder for each machine; tar: the store itself' -r -f -a "kubeadm\t'Below NODE/etc/kubernetes, as kubeadm 1.36 has it'
hard-way\t'NODE/, with the flat names of the guides that set a cluster up the hard way'
tar\t'The store itself in one file'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l to -d 'The folder or tar file to make; `-` writes a tar to a pipe' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l store -d 'The store: a directory, never assumed [env: KMH_STORE]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l identity -d 'Opens an encrypted store: an age identity [env: KMH_IDENTITY]' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l recipient -d 'Encrypt the keys of the store to this age recipient; may be repeated; names all there are to be' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l recipients -d 'The same, from a file: one recipient a line' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -s i -l input -d 'Read documents from FILE instead of stdin; `-` is stdin; may be repeated' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -s o -l output -d 'What to print: json (the stream, default in a pipe), text (default on a terminal), ansible' -r -f -a "json\t'The stream of documents'
text\t'For people'
ansible\t'One object in the shape of an Ansible module\'s result'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l write -d 'Write the result to FILE, atomically, instead of stdout; untouched when nothing changed' -r -F
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l color -d 'Colour messages: auto, always, never' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l limit -d 'Only these machines: names, `site=NAME`, `role=NAME`, separated by commas' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l schema -d 'Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit' -r
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l with-ca-keys -d 'With the keys of the CAs and the break-glass admin, which no machine needs'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l force -d 'Replace FILE whatever it is; an earlier tar of the same store is replaced without it'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l init -d 'Make the store when it is missing or empty; harmless when it is there'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l repair -d 'Mend the modes of keys that others may read, and of folders that others may look into'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l expired -d 'Make certificates again although every one of them has ended: the clock is right'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l only -d 'Print the own document only, not those that were read'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l dry-run -d 'Say what would be done, and do nothing'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -l strict -d 'Treat warnings as errors'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -s q -l quiet -d 'Say nothing but errors'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -s v -l verbose -d 'Say more; twice for more still'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand help; and not __fish_seen_subcommand_from ensure status verify rotate kubeconfig sign import export help" -f -a "ensure" -d 'Make what is missing, wrong or about to end (the default)'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand help; and not __fish_seen_subcommand_from ensure status verify rotate kubeconfig sign import export help" -f -a "status" -d 'What ends when, and who uses it; exit code 1 when something is due'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand help; and not __fish_seen_subcommand_from ensure status verify rotate kubeconfig sign import export help" -f -a "verify" -d 'The whole store against the inventory and RFC 5280; exit code 1 when something is wrong'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand help; and not __fish_seen_subcommand_from ensure status verify rotate kubeconfig sign import export help" -f -a "rotate" -d 'Replace a CA or a key in stages, one at each call; say what has to follow'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand help; and not __fish_seen_subcommand_from ensure status verify rotate kubeconfig sign import export help" -f -a "kubeconfig" -d 'A kubeconfig for a person, or for an emergency'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand help; and not __fish_seen_subcommand_from ensure status verify rotate kubeconfig sign import export help" -f -a "sign" -d 'Sign the request of a machine whose key stays on it'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand help; and not __fish_seen_subcommand_from ensure status verify rotate kubeconfig sign import export help" -f -a "import" -d 'Make a store of a PKI that kubeadm or a guide made, or take in what a CA elsewhere signed'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand help; and not __fish_seen_subcommand_from ensure status verify rotate kubeconfig sign import export help" -f -a "export" -d 'Write the PKI as kubeadm or the guides lay it out, or the store as a tar; keys are among it'
complete -c kmh-pki -n "__fish_kmh_pki_using_subcommand help; and not __fish_seen_subcommand_from ensure status verify rotate kubeconfig sign import export help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
