# Makes a root: a small Debian of its own. Runs in a mount and a process namespace of its own, so whatever ends it takes
# its processes and mounts along. Arguments: folder, release, architecture, mirror, components and packages (with commas
# between them), and `emulated` when this machine's processor is another.
set -eu
root=$1 release=$2 arch=$3 mirror=$4 components=$5 packages=$6 emulated=$7
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
unset TMPDIR

# A root that was not finished is thrown away, so dpkg need not wait for the disk (dpkg(1), unsafe-io); texts for people
# are most of the rest.
mkdir -p "$root/etc/dpkg/dpkg.cfg.d"
chmod 0755 "$root" "$root/etc" "$root/etc/dpkg" "$root/etc/dpkg/dpkg.cfg.d"
quick=$root/etc/dpkg/dpkg.cfg.d/kmh-lab
cat >"$quick" <<END
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
END

debootstrap --variant=minbase --arch="$arch" --components="$components" --include="$packages" "$release" "$root" "$mirror"
rm -f "$quick"

# What a copy has of its own: identity, keys, names. And only sshd starts by itself: what else does, the bundle says.
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/hostname" "$root/etc/resolv.conf" "$root"/var/cache/apt/*.bin
: >"$root/etc/machine-id"
# systemd would take D-Bus' for its own (machine-id(5)).
ln -sf /etc/machine-id "$root/var/lib/dbus/machine-id"
chroot "$root" apt-get clean
rm -rf "$root"/var/lib/apt/lists/*
preset=$root/etc/systemd/system-preset/00-kmh-lab.preset
mkdir -p "${preset%/*}"
printf 'enable ssh.service\ndisable *\n' >"$preset"
chroot "$root" systemctl --quiet preset-all
rm -f "$preset"

# qemu's user emulation does not know the system calls with which systemd gives credentials to its services.
if [ "$emulated" = emulated ]; then
    mkdir -p "$root/etc/systemd/system/service.d"
    printf '[Service]\nLoadCredential=\n' >"$root/etc/systemd/system/service.d/kmh-lab.conf"
fi
sync -f "$root"
