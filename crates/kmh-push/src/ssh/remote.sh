# What kmh-push runs on a machine. POSIX sh for dash, bash and FreeBSD's sh; programs: those that every Debian and
# every pfSense has. It comes over stdin, and so does everything variable; $nonce is set by the command that reads it.
#
# Every line of the protocol begins with the nonce. The last is `NONCE end CODE`: without it the run has failed,
# whatever the SSH library says of an exit status. Nothing that is read here can hold white space or a glob.
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
exec 2>&1
echo # whatever a login shell has said on this line before
umask 077
set -f
temps=
finished=

say() {
    printf '%s %s\n' "$nonce" "$*"
}

# Whatever is left of this run goes with it. A run that was killed outright is cleaned up after by the next.
leave() {
    code=$?
    trap - EXIT
    [ -z "$temps" ] || rm -f -- $temps
    [ "$finished" = yes ] || [ "$code" -ne 0 ] || code=98
    printf '\n%s end %s\n' "$nonce" "$code"
    exit "$code"
}
trap leave EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM

stop() {
    say "problem $*"
    exit 1
}

system=$(uname -s)
case $system in
    Linux) ;;
    FreeBSD) ;;
    *) stop "kmh-push knows Linux and FreeBSD, not $system" ;;
esac

sums() {
    case $system in
        Linux) sha256sum -- "$@" ;;
        FreeBSD) sha256 -r -- "$@" ;;
    esac
}

# Type and mode in hexadecimal or octal, owner, name.
stats() {
    case $system in
        Linux) stat -c '%f %U:%G %n' -- "$@" | while read -r mode owner name; do
            say "mode $(printf '%o' "0x$mode") $owner ${name#"$root"}"
        done ;;
        FreeBSD) stat -f '%p %Su:%Sg %N' -- "$@" | while read -r mode owner name; do
            say "mode $mode $owner ${name#"$root"}"
        done ;;
    esac
}

# The folder that a path is in.
folder() {
    folder=${1%/*}
    [ -n "$folder" ] || folder=/
}

# A root other than / is not left, also not by a symbolic link inside it.
inside() {
    [ -n "$root" ] || return 0
    near=$1
    while [ ! -d "$near" ]; do
        near=${near%/*}
        [ -n "$near" ] || near=/
    done
    case $root/ in
        "${near%/}"/*) return 0 ;; # not made yet
    esac
    real=$(cd -P "$near" && pwd -P) || stop "folder $near cannot be entered"
    home=$(cd -P "$root" && pwd -P) || stop "root $root cannot be entered"
    case $real/ in
        "$home"/*) ;;
        *) stop "folder $near leads out of $root, to $real" ;;
    esac
}

# State of every path of the request.
look() {
    set --
    for path in $paths; do
        file=$root$path
        if [ -L "$file" ]; then
            if [ -d "$file" ]; then say "folder $path"; else say "link $path"; fi
        elif [ -f "$file" ]; then
            set -- "$@" "$file"
        elif [ -d "$file" ]; then
            say "folder $path"
        elif [ -e "$file" ]; then
            say "other $path"
        else
            say "missing $path"
        fi
    done
    [ $# -gt 0 ] || return 0
    sums "$@" | while read -r sum name; do say "sum $sum ${name#"$root"}"; done
    stats "$@"
}

# Exactly $1 octets of stdin. `head -c` of some systems takes more than it prints, so it is tried before it is trusted.
if [ "$(printf 'ab' | { head -c 1 >/dev/null; head -c 1; } 2>/dev/null)" = b ]; then
    take() { [ "$1" -eq 0 ] || head -c "$1"; }
else
    take() { [ "$1" -eq 0 ] || dd bs=1 count="$1" 2>/dev/null; }
fi

# Temporary files of pushes that were killed; of this machine of the bundle, for another may share the host.
leftovers() {
    set +f
    for one in $folders; do
        for temp in "$root${one%/}/.kmh-push.$machine".*; do
            if [ -f "$temp" ] || [ -L "$temp" ]; then "$@" "$temp"; fi
        done
    done
    set -f
}
count_one() { left=$((left + 1)); }
remove_one() { rm -f -- "$1"; }

observe() {
    say "system $system"
    say "uid $(id -u)"
    say "processor $(uname -m)"
    if [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then say "systemd yes"; fi
    for one in $folders; do inside "$root${one%/}"; done
    left=0
    leftovers count_one
    say "leftovers $left"
    if [ -n "$pending" ] && [ -f "$pending" ]; then
        while read -r verb name; do say "pending $verb $name"; done <"$pending"
    fi
    if [ -n "$units" ] && command -v systemctl >/dev/null; then
        systemctl show --property=Id --property=ActiveState --property=UnitFileState -- $units | while read -r line; do say "unit $line"; done
    fi
    look
    finished=yes
}

# Beginnings of files, for a diff: octets up to $limit.
fetch() {
    for one in $folders; do inside "$root${one%/}"; done
    for path in $paths; do
        say "content $path"
        head -c "$limit" "$root$path" | {
            while IFS= read -r line; do printf '%s line %s\n' "$nonce" "$line"; done
            [ -z "$line" ] || printf '%s tail %s\n' "$nonce" "$line"
        }
    done
    finished=yes
}

# All files are staged beside their places, proven, synced, and only then renamed.
write() {
    for one in $folders; do inside "$root${one%/}"; done
    leftovers remove_one
    number=0
    expected=
    while :; do
        read -r verb path mode owner size sum || stop "the files did not arrive whole"
        case $verb in
            file) ;;
            commit) break ;;
            *) stop "the files did not arrive whole" ;;
        esac
        file=$root$path
        folder "$file"
        [ -d "$folder" ] || (umask 022 && mkdir -p -- "$folder") || stop "folder $folder cannot be made"
        inside "$folder"
        [ ! -d "$file" ] || stop "$path is a folder"
        number=$((number + 1))
        temp=${folder%/}/.kmh-push.$machine.$nonce.$number
        temps="$temps $temp"
        # noclobber opens with O_EXCL
        (set -C && take "$size" >"$temp") || stop "$path cannot be written"
        [ "$owner" = - ] || chown -- "$owner" "$temp" || stop "$path cannot be given to $owner"
        chmod -- "$mode" "$temp" || stop "$path cannot be given mode $mode"
        expected="$expected$sum $temp
"
        moves="$moves $temp $path"
    done
    if [ -n "$temps" ]; then
        proven=$(sums $temps | while read -r sum name; do printf '%s %s\n' "$sum" "$name"; done)
        [ "$proven
" = "$expected" ] || stop "the files did not arrive whole"
        sync $temps || sync
    fi
    remember "$todo"
    set -- $moves
    while [ $# -gt 0 ]; do
        [ ! -d "$root$2" ] || stop "$2 is a folder"
        mv -f -- "$1" "$root$2" || stop "$2 cannot be replaced"
        say "written $2"
        shift 2
    done
    temps=
    touched=
    for one in $folders; do [ ! -d "$root$one" ] || touched="$touched $root$one"; done
    [ -z "$touched" ] || sync $touched || sync
    look
    finished=yes
}

# What is still to be done to units, so that a push that was cut off here is completed by the next.
remember() {
    [ -n "$pending" ] || return 0
    if [ -z "$1" ]; then
        rm -f -- "$pending"
        return 0
    fi
    folder "$pending"
    mkdir -p -- "$folder" || stop "folder $folder cannot be made"
    printf '%s' "$1" >"$pending.new" && sync "$pending.new" && mv -f -- "$pending.new" "$pending" ||
        stop "$pending cannot be written"
}

# The end of a unit's journal: what it said itself before it failed.
journal() {
    command -v journalctl >/dev/null || return 0
    bound=
    ! command -v timeout >/dev/null || bound="timeout 5"
    $bound journalctl -u "$1" -n 5 --no-pager -o cat </dev/null 2>/dev/null | head -c 4000 |
        while IFS= read -r line || [ -n "$line" ]; do printf '%s journal %s\n' "$nonce" "$line"; done
}

act() {
    rest=$todo
    while [ -n "$rest" ]; do
        step=${rest%%"
"*}
        verb=${step%% *}
        name=${step#* }
        case $verb in
            daemon-reload) answer=$(systemctl --no-ask-password daemon-reload </dev/null 2>&1) ;;
            enable) answer=$(systemctl --no-ask-password enable -- "$name" </dev/null 2>&1) ;;
            restart) answer=$(systemctl --no-ask-password restart -- "$name" </dev/null 2>&1) ;;
            reload) answer=$(systemctl --no-ask-password reload-or-restart -- "$name" </dev/null 2>&1) ;;
            *) stop "no such step: $verb" ;;
        esac
        if [ $? -ne 0 ]; then
            remember "$rest"
            printf '%s\n' "$answer"
            say "bad $verb $name"
            case $verb in restart | reload) journal "$name" ;; esac
            stop "systemctl $verb $name failed"
        fi
        say "good $verb $name"
        rest=${rest#*"
"}
    done
    wait_for_all
    remember ""
    finished=yes
}

# Asks whether the unit of a line serves, for a while: $name is the unit, $answer what was said last. Where its own program
# cannot be asked, systemd has been: it calls neither etcd nor an API server started before they said so themselves.
is_served() {
    name=${1%% *}
    set -- ${1#* }
    command -v "$1" >/dev/null || return 0
    bound=
    ! command -v timeout >/dev/null || bound="timeout 10"
    end=$(($(date +%s) + patience))
    until answer=$($bound "$@" </dev/null 2>&1); do
        [ "$(date +%s)" -lt "$end" ] || return 1
        say "waits $name"
        sleep 1
    done
}

# What was restarted must serve before the next machine has its turn.
wait_for_all() {
    rest=$serves
    while [ -n "$rest" ]; do
        if ! is_served "${rest%%"
"*}"; then
            # The next push does not take it for done.
            remember "restart $name
"
            printf '%s\n' "$answer"
            journal "$name"
            stop "$name was restarted, and does not serve after $patience s"
        fi
        rest=${rest#*"
"}
    done
}

# Which units do not serve, each with the end of what it says.
ask() {
    rest=$serves
    while [ -n "$rest" ]; do
        is_served "${rest%%"
"*}" || say "silent $name $(printf '%s' "$answer" | tail -n 2 | tr '\n' ' ' | head -c 1000)"
        rest=${rest#*"
"}
    done
    finished=yes
}

root=
machine=
paths=
folders=
units=
todo=
serves=
patience=0
pending=
moves=
limit=0
job=
while read -r key value; do
    case $key in
        root) root=$value ;;
        machine) machine=$value ;;
        path) paths="$paths $value" ;;
        folder) folders="$folders $value" ;;
        unit) units="$units $value" ;;
        pending) pending=$value ;;
        limit) limit=$value ;;
        patience) patience=$value ;;
        serves) serves="$serves$value
" ;;
        todo) todo="$todo$value
" ;;
        go)
            job=$value
            break
            ;;
        *) stop "no such request: $key" ;;
    esac
done
case $job in
    observe) observe ;;
    fetch) fetch ;;
    write) write ;;
    act) act ;;
    ask) ask ;;
    *) stop "the request did not arrive whole" ;;
esac
