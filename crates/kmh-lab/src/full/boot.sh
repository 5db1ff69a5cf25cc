# Boots a complete machine, and becomes its systemd-nspawn. Runs in the machine's network namespace and in a mount namespace
# of its own, so nothing of it is among this machine's mounts. Stdin is an archive of files. Arguments: root below, the
# machine's folder, its name, the name of its container, who logs in, units to enable, control groups (words, with blanks
# between them). What it prints before the start is told to the user.
set -eu
lower=$1 folder=$2 name=$3 container=$4 user=$5 units=$6 groups=$7

for group in $groups; do
    mkdir -p "$group"
    echo $$ >"$group/cgroup.procs"
done

# A /run in which nspawn finds nothing but the machine's folder, and leaves nothing.
mkdir -p "$folder/upper" "$folder/work" "$folder/root" "$folder/log" "$folder/run"
mount --no-mtab -t tmpfs -o mode=0755 kmh-lab "$folder/run"
mkdir -p "$folder/run/${folder#/run/}"
mount --no-mtab --bind "$folder" "$folder/run/${folder#/run/}"
mount --no-mtab --move "$folder/run" /run

mount --no-mtab -t overlay -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" kmh-lab "$folder/root"
root=$folder/root

if ! chroot "$root" id -u "$user" >/dev/null 2>&1; then
    case $user in
        # pfSense's admin is root by another name.
        admin) chroot "$root" useradd --create-home --non-unique --uid 0 --gid 0 --shell /bin/sh admin ;;
        *) chroot "$root" useradd --create-home --user-group --shell /bin/sh "$user" ;;
    esac
fi
chroot "$root" tar --extract --preserve-permissions --directory / --file -
for unit in $units; do
    chroot "$root" systemctl --quiet enable "$unit" >/dev/null 2>&1 ||
        echo "unit $unit cannot be enabled: its program's package is not in the root"
done

# Of /proc/sys only `net`, which is the namespace's own, can be written: what else a machine sets would be this machine's.
SYSTEMD_NSPAWN_API_VFS_WRITABLE=network exec systemd-nspawn --quiet --settings=no --boot --register=no --keep-unit \
    --network-namespace-path=/proc/self/ns/net --capability=CAP_NET_ADMIN --directory="$root" --machine="$container" \
    --hostname="$name" --link-journal=no --resolv-conf=off --timezone=off --console=pipe \
    </dev/null >"$folder/log/console" 2>&1
