# A charon of its own for every tunnel: kernel-libipsec has one TUN device, and tells tunnels apart by traffic selectors
# alone, which are everything here. /etc/kmh-lab/tunnels has a line for each: number, interface, namespace or -, MTU.
esp=/run/kmh-lab-esp
userspace() { [ -s /etc/kmh-lab/tunnels ]; }
port() { echo $((20000 + 2 * $1)); }

# Routes of its own go into a table that nobody asks: the mark of the rule is on no packet.
settings() {
    cat <<END
include /etc/strongswan.conf
charon-systemd {
    load_modular = no
    load = random nonce drbg aes sha1 sha2 hmac kdf mgf1 openssl gmp curve25519 gcm chapoly pem pkcs1 pkcs8 x509 pubkey constraints revocation kernel-libipsec kernel-netlink socket-default vici
    port = $(port "$1")
    port_nat_t = $(($(port "$1") + 1))
    routing_table = $(port "$1")
    plugins {
        kernel-libipsec {
            load = yes
        }
        kernel-netlink {
            fwmark = 0x6b6d68
        }
        vici {
            socket = unix://$esp/$1.vici
        }
    }
    filelog {
        stdout {
            default = 1
        }
    }
}
END
}

# Number, interface, namespace. The plugin takes the first ipsecN that is free, and asks for it by that name again: once the
# device has the tunnel's name, and is where the router routes, an empty bridge stands there.
charon() {
    free=0
    while [ -e "/sys/class/net/ipsec$free" ]; do free=$((free + 1)); done
    settings "$1" >"$esp/$1.conf"
    rm -f "$esp/$1.vici"
    keep "charon-$1" env "STRONGSWAN_CONF=$esp/$1.conf" /usr/sbin/charon-systemd
    tries=0
    until [ -S "$esp/$1.vici" ] && [ -e "/sys/class/net/ipsec$free" ]; do
        tries=$((tries + 1))
        if [ "$tries" -ge 200 ]; then
            echo "charon of tunnel $1 does not come up:" >&2
            tail -n 5 "$log/charon-$1" >&2
            return 1
        fi
        sleep 0.05
    done
    ip link set dev "ipsec$free" down
    if [ "ipsec$free" != "$2" ]; then
        ip link delete dev "$2" 2>/dev/null || :
        ip link set dev "ipsec$free" name "$2"
        ip link add "ipsec$free" type bridge
        ip link set dev "ipsec$free" addrgenmode none up
    fi
    [ "$3" = - ] || ip link set dev "$2" netns "$3"
}

# Those that do not run start, those of tunnels that are no more end.
charons() {
    mkdir -p -m 700 "$esp"
    for file in /run/kmh-lab/charon-*.pid; do
        number=${file##*-}
        number=${number%.pid}
        [ ! -e "$file" ] || grep -q "^$number " /etc/kmh-lab/tunnels || end "charon-$number"
    done
    while read -r number interface netns mtu; do
        pid=$(cat "/run/kmh-lab/charon-$number.pid" 2>/dev/null || :)
        if [ -z "$pid" ] || ! kill -0 "$pid" 2>/dev/null; then
            charon "$number" "$interface" "$netns"
        fi
    done </etc/kmh-lab/tunnels
}

# Addresses and rules by the router's own script, which finds the interfaces there; then what fits into the plugin.
tunnels() {
    unit=/etc/systemd/system/kmh-tunnels.service
    [ ! -e "$unit" ] || sed -n 's/^ExecStart=//p' "$unit" | sh -e
}
fit() {
    while read -r number interface netns mtu; do
        if [ "$netns" = - ]; then
            ip link set dev "$interface" mtu "$mtu" up
        else
            ip -n "$netns" link set dev "$interface" mtu "$mtu" up
        fi
    done </etc/kmh-lab/tunnels
}

load() {
    /run/kmh-lab/kmh-lab split
    while read -r number interface; do
        swanctl --load-all --noprompt --file "/etc/swanctl/kmh-lab-$number.conf" --uri "unix://$esp/$number.vici"
    done </etc/kmh-lab/tunnels
}

# Whoever calls and is refused does not call again by itself, and there is no trap of the kernel's that has it call when there
# is traffic. In its place somebody looks whether the tunnels that this end begins are there.
call_again() {
    end keepalive
    keep keepalive sh -c 'while sleep 5; do
        for file in /etc/swanctl/kmh-lab-*.conf; do
            grep -q "start_action = .*start" "$file" || continue
            number=${file##*-}
            at=unix:///run/kmh-lab-esp/${number%.conf}.vici
            child=$(sed -n "/children {/{n;s/[ {]//g;p;q}" "$file")
            swanctl --list-sas --child "$child" --uri "$at" | grep -q INSTALLED ||
                swanctl --initiate --child "$child" --timeout 5 --uri "$at"
        done
    done'
}

end_charons() {
    for file in /run/kmh-lab/charon-*.pid; do
        [ -e "$file" ] || continue
        pid=$(cat "$file")
        name=${file##*/}
        end "${name%.pid}"
        # Its ports are free when it has said goodbye.
        tries=0
        while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 100 ]; do
            tries=$((tries + 1))
            sleep 0.05
        done
    done
}
