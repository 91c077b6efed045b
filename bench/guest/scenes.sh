# The stage and the scenes of the guest, for busybox's shell. To be sourced by `init`.
# shellcheck shell=dash disable=SC2016

readonly CLIENT=198.18.0.1 SERVER=198.18.0.2 CLIENT_V6=fd00:7011::1 SERVER_V6=fd00:7011::2
readonly PAGE_BYTES=1500000 PINGS=50 PKTGEN_FRAMES=3000
readonly SITE=/run/site

# busybox has small ones of its own, and prefers them.
ip() { /usr/bin/ip "$@"; }

fact() {
    echo "FACT $scene$*"
}
scene=

# prefixed WORD: what stdin has, each line marked.
prefixed() {
    sed "s/^/$1 /"
}

client() { nsenter --net=/run/netns/client "$@"; }
server() { nsenter --net=/run/netns/server "$@"; }

# await SECONDS COMMAND…: until it succeeds.
await() {
    await_end=$(($(uptime_s) + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(uptime_s)" -lt "$await_end" ] || return 1
        sleep 0.2
    done
}

uptime_s() { cut -d . -f 1 /proc/uptime; }

# ---- the stage -----------------------------------------------------------------------------------------

# The cards are told apart by their addresses, which end in 01 to 04.
lay_the_wire() {
    for card in /sys/class/net/*; do
        case $(cat "$card/address") in
            52:54:00:00:00:01) name=c0 ;;
            52:54:00:00:00:02) name=a0 ;;
            52:54:00:00:00:03) name=b0 ;;
            52:54:00:00:00:04) name=s0 ;;
            *) continue ;;
        esac
        ip link set "${card##*/}" name "$name"
    done
    for card in a0 b0; do
        echo 1 >/proc/sys/net/ipv6/conf/$card/disable_ipv6
        ethtool -K $card lro off gro off rxvlan off >/dev/null 2>&1
        ip link set $card up promisc on
        fact "driver_$card" "$(ethtool -i $card | sed -n 's/^driver: //p')"
        fact "queues_$card" "$(find /sys/class/net/$card/queues -name 'rx-*' | wc -l)"
        symmetric_rss $card
    done
    far_end client c0 "$CLIENT" "$CLIENT_V6"
    far_end server s0 "$SERVER" "$SERVER_V6"
    ip link set lo up
    mkdir -p $SITE
    head -c $PAGE_BYTES /dev/urandom >$SITE/page.bin
    page_sum=$(sum $SITE/page.bin)
    server httpd -p 80 -h $SITE
    server httpd -p 8080 -h $SITE
}

# symmetric_rss CARD: a Toeplitz key that repeats brings both directions of a connection to one queue.
# UDP is hashed with its ports, so that pktgen's flows spread.
symmetric_rss() {
    key=6d:5a
    while [ ${#key} -lt 119 ]; do key=$key:6d:5a; done
    ethtool -N "$1" rx-flow-hash udp4 sdfn 2>&1 | prefixed "LOG rss $1"
    ethtool -X "$1" hkey $key 2>&1 | prefixed "LOG rss $1"
    fact "rss_$1" "$(ethtool -x "$1" 2>/dev/null | grep -c $key)"
}

# far_end NAMESPACE CARD ADDRESS ADDRESS: one of the two that talk. Checksums are made in software, for the
# frames cross a hub that knows nothing of offloads.
far_end() {
    ip netns add "$1"
    ip link set "$2" netns "$1"
    ip netns exec "$1" sh -c "echo 0 >/proc/sys/net/ipv6/conf/$2/accept_dad"
    ip netns exec "$1" ethtool -K "$2" tx off tso off gso off gro off >/dev/null 2>&1
    ip -n "$1" address add "$3/24" dev "$2"
    ip -n "$1" address add "$4/64" dev "$2" nodad
    ip -n "$1" link set "$2" up
    ip -n "$1" link set lo up
}

# fetch SECONDS ARGUMENTS…
fetch() {
    fetch_max=$1
    shift
    client curl -gs --max-time "$fetch_max" "$@"
}

sum() {
    sha256sum "$@" | cut -d ' ' -f 1
}

# play NAME: all scenes under NAME.toml; every fact of theirs begins with the name.
play() {
    scene=$1.
    began=$(uptime_s)
    if start "$1"; then
        sleep 1
        fact dropped_before "$(scrape | awk '/^tollgate_kernel_dropped_frames_total/ { sum += $NF } END { print sum + 0 }')"
        pings
        page
        page_v6
        upload
        refused
        reset
        [ "$1" = user ] && { lossy && pktgen; }
    else
        fact unreachable "the far end does not answer"
    fi
    sleep 1 # for the last numbers to be published
    scrape | prefixed "METRIC $1"
    stop
    fact seconds $(($(uptime_s) - began))
    scene=
}

# start NAME: under NAME.toml, until the far end is reached; a card may be away for some seconds.
start() {
    tollgate run --pair a0:b0 --mode zerocopy --rules /guest/rules.lua --config "/guest/$1.toml" \
        >/run/events 2>/run/log &
    tollgate=$!
    await 30 grep -q SIGTERM /run/log && await 30 client ping -c 1 -W 1 $SERVER
}

scrape() {
    curl -s --max-time 5 http://127.0.0.1:9460/metrics | grep '^tollgate'
}

# ---- the scenes ----------------------------------------------------------------------------------------

pings() {
    fact pings "$(client ping -c $PINGS -i 0.02 -W 5 -q $SERVER | sed -n 's/^.* \([0-9]*\) packets received.*$/\1/p')"
    fact pings_wanted $PINGS
}

page() {
    fact page "$(fetch 20 http://$SERVER/page.bin | sum)"
    fact page_wanted "$page_sum"
}

page_v6() {
    fact page_v6 "$(fetch 20 "http://[$SERVER_V6]/page.bin" | sum)"
}

# The other way: the client sends.
upload() {
    listen 9000 /run/upload
    timeout 20 nsenter --net=/run/netns/client nc $SERVER 9000 <$SITE/page.bin >/dev/null
    await 10 is_whole /run/upload
    unlisten
    fact upload "$(sum /run/upload)"
}

# listen PORT FILE: nc at the server, whose input stays open, so that it closes nothing by itself.
listen() {
    [ -p /run/hold ] || mkfifo /run/hold
    sleep 60 >/run/hold &
    holder=$!
    server nc -l -p "$1" </run/hold >"$2" &
    listener=$!
    await 5 listening "$1"
}

unlisten() {
    kill "$holder" "$listener" 2>/dev/null
    wait "$holder" "$listener" 2>/dev/null
}

is_whole() {
    [ "$(stat -c %s "$1")" -eq $PAGE_BYTES ]
}

listening() {
    server netstat -ltn | grep -q ":$1 "
}

ended() {
    ! kill -0 "$1"
}

# A connection that a rule drops: no answer, and the server has not heard of it.
refused() {
    before=$(counter server Tcp PassiveOpens)
    fetch 3 -o /dev/null http://$SERVER:8080/page.bin
    fact refused_exit $?
    fact refused_opens $(($(counter server Tcp PassiveOpens) - before))
    fact refused_alerts "$(grep -c "alert .*refused by the guest's rule" /run/events)"
}

# A connection that a rule resets: both ends hear it from us, for neither sends a RST itself.
reset() {
    client_before=$(counter client Tcp EstabResets) server_before=$(counter server Tcp EstabResets)
    client_sent=$(counter client Tcp OutRsts) server_sent=$(counter server Tcp OutRsts)
    listen 9001 /run/reset
    (echo "a word that may pass"; sleep 1; echo "FORBIDDEN"; sleep 4) |
        timeout 10 nsenter --net=/run/netns/client nc $SERVER 9001 >/dev/null 2>&1
    fact reset_client $(($(counter client Tcp EstabResets) - client_before))
    fact reset_server $(($(counter server Tcp EstabResets) - server_before))
    fact reset_by_themselves $(($(counter client Tcp OutRsts) - client_sent + $(counter server Tcp OutRsts) - server_sent))
    fact reset_got "$(tr '\n' '|' </run/reset)"
    fact reset_alerts "$(grep -c "alert .*reset by the guest's rule" /run/events)"
    unlisten
}

# counter NAMESPACE PROTOCOL NAME: of /proc/net/snmp, which has a line of names and one of numbers.
counter() {
    ip netns exec "$1" awk -v protocol="$2:" -v name="$3" '
        $1 == protocol && !seen { for (i = 2; i <= NF; i++) if ($i == name) column = i; seen = 1; next }
        $1 == protocol { print $column }' /proc/net/snmp
}

# The server's card loses and reorders what it sends: gaps come to the wire, and the page arrives whole.
lossy() {
    ip netns exec server tc qdisc add dev s0 root netem delay 2ms loss 3% reorder 80% limit 2000 ||
        { fact lossy_missing "no netem"; return 0; }
    fact lossy "$(fetch 60 http://$SERVER/page.bin | sum)"
    ip netns exec server tc -s qdisc show dev s0 | prefixed "LOG netem"
    ip netns exec server tc qdisc del dev s0 root
}

# The kernel's generator, many flows, at a rate that an emulated card can take.
pktgen() {
    ip netns exec client test -d /proc/net/pktgen || { fact pktgen_missing "no module"; return 0; }
    before=$(counter server Udp NoPorts)
    to="-i c0 -d $SERVER -m 52:54:00:00:00:04 -r 1000"
    for script in "flood.sh -n 500" "imix.sh -n 1000" "flows.sh -n 1500"; do
        # shellcheck disable=SC2086 # words, in both
        ip netns exec client /pktgen/$script $to
    done >/run/pktgen 2>&1
    prefixed "LOG pktgen" </run/pktgen
    sleep 1
    fact pktgen_sent "$(sed -n 's/^pktgen: sent=\([0-9]*\) errors=0 .*$/\1/p' /run/pktgen | awk '{ sum += $1 } END { print sum }')"
    fact pktgen_wanted $PKTGEN_FRAMES
    fact pktgen_arrived $(($(counter server Udp NoPorts) - before))
}

# The program is killed under `fail = "wire"`: what it has left in the drivers carries TCP, too. Then it is
# started again and stopped, which takes that away.
killed() {
    scene=killed.
    start wire || fact unreachable "the far end does not answer"
    kill -KILL "$tollgate"
    wait "$tollgate"
    await 30 client ping -c 1 -W 1 $SERVER
    fact page "$(fetch 20 http://$SERVER/page.bin | sum)"
    # Not `wire` again: an emulated core is late so often that the bypass would cut into the page.
    start kernel || fact unreachable_again "the far end does not answer"
    fact page_again "$(fetch 20 http://$SERVER/page.bin | sum)"
    stop
    scene=
}

stop() {
    kill -TERM "$tollgate"
    await 15 ended "$tollgate" || { fact stop_hung yes; kill -KILL "$tollgate"; }
    wait "$tollgate"
    fact stop_exit $?
    fact stop_left "$(ip link show | grep -c xdp)$(find /sys/fs/bpf -type f | wc -l)"
    prefixed "TOLLGATE ${scene%.}" </run/log
    grep -v connection /run/events | head -n 20 | prefixed "EVENT ${scene%.}"
}
