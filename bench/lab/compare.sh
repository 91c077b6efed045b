#!/usr/bin/env bash
# What forwarding costs: Tollgate beside a plain Linux bridge and a bare AF_XDP forwarder, in one lab, in turn.
#
#     compare.sh [PROGRAM] [ROUNDS] [SECONDS]      target/release/tollgate, 5 rounds, 3 s a measurement
#
# Each round measures every forwarder once, so that what the machine does meanwhile falls on all alike. The
# generator (bench/src/bin/blast.rs) and all receiving sides run on core 1; forwarders that have a thread of
# their own run it on core 0. A bridge has none: it works on the generator's core. Every figure is what
# *arrived*, and beside it stands what the forwarder itself counted, or that no XDP program was there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
source bench/lab/lab.sh
source bench/record.sh

program=$(realpath "${1:-target/release/tollgate}")
rounds=${2:-5}
seconds=${3:-3}
built=$(realpath "${CARGO_TARGET_DIR:-target}")/release
readonly FORWARDERS=(bridge bare tollgate rules)
readonly GENERATOR_CORE=1 FORWARDER_CORE=0

describe() {
    cat <<'TEXT'
bridge    a Linux bridge in the gate; no thread of its own, it runs on the generator's core
bare      crates/link/examples/bare_forwarder.rs: the same rings, no parsing, no flows
tollgate  tollgate run, one worker, no rules: every connection followed, every checksum verified
rules     tollgate run, one worker, a Lua rule that is called with all data
TEXT
}

prepare() {
    echo "==> building"
    cargo build --quiet --release --locked -p tollgate-bench --bin blast
    cargo build --quiet --release --locked -p tollgate-link --example bare_forwarder
    work=$(mktemp -d)
    lab=$(lab_new_name)
    trap 'lab_down "$lab"; rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    lab_up "$lab" 1 1500 off
    cat >"$work/rules.lua" <<'LUA'
haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function (flow, current, dir) end
}
LUA
}

# begin FORWARDER WHAT: when it returns, the forwarder forwards.
begin() {
    local rules=()
    case $1 in
        bridge)
            lab_bridge "$lab"
            # A port without NAPI does not take what the generator redirects to it. For a stream it stays
            # off, as it is on a veth: merged segments would be another kind of traffic.
            [[ $2 == stream ]] || lab_in "$lab" gate ethtool -K a0 gro on
            return
            ;;
        bare)
            lab_start "$lab" gate taskset -c "$FORWARDER_CORE" "$built/examples/bare_forwarder" \
                --pair a0:b0 --seconds "$((seconds + 6))" >"$work/forwarder.log" 2>&1 &
            ;;
        tollgate | rules)
            [[ $1 == tollgate ]] || rules=(--rules "$work/rules.lua")
            lab_start "$lab" gate taskset -c "$FORWARDER_CORE" "$program" run --pair a0:b0 --workers 1 \
                "${rules[@]}" --events none >"$work/forwarder.log" 2>&1 &
            ;;
    esac
    forwarder=$!
    await_crossing || { cat "$work/forwarder.log" >&2 && lab_fail "$1 does not forward"; }
}

await_crossing() {
    local _
    for _ in {1..50}; do
        lab_in "$lab" client ping -c 1 -W 1 "$LAB_SERVER_V4" >/dev/null 2>&1 && sleep 0.5 && return 0
        sleep 0.1
    done
    return 1
}

# end FORWARDER: stops it, and sets `proof` to what it counted: frames that it took from port A.
end() {
    proof=
    case $1 in
        bridge)
            lab_in "$lab" gate ip link show | grep -q xdp && lab_fail "a bridge with XDP is not plain"
            proof=$(lab_in "$lab" gate cat /proc/net/dev | awk '$1 == "a0:" { print $3 }')
            proof=$((proof - bridged))
            lab_unbridge "$lab"
            lab_in "$lab" gate ethtool -K a0 gro off
            return
            ;;
        bare)
            wait "$forwarder"
            proof=$(sed -n 's/^from a: \([0-9]*\) frames.*/\1/p' "$work/forwarder.log")
            ;;
        tollgate | rules)
            proof=$(lab_in "$lab" gate curl -sf http://127.0.0.1:9460/metrics |
                awk '/^tollgate_frames_received_total{.*port="a"/ { sum += $2 } END { print sum }')
            kill -TERM "$forwarder"
            wait "$forwarder" || { cat "$work/forwarder.log" >&2 && lab_fail "$1 did not end well"; }
            ;;
    esac
    lab_in "$lab" gate ip link show | grep -q xdp && lab_fail "$1 left an XDP program behind"
    return 0
}

# frames BYTES: full rate of frames of that size; sets `value` and `arrived`.
frames() {
    local line
    line=$(taskset -c "$GENERATOR_CORE" "$built/blast" --client "/run/netns/$lab-client" \
        --server "/run/netns/$lab-server" --frame-bytes "$1" --seconds "$seconds")
    arrived=$(cut -d , -f 5 <<<"$line")
    offered=$(cut -d , -f 6 <<<"$line")
    value=$(cut -d , -f 7 <<<"$line")
}

# stream: one TCP connection of Linux's own; sets `value` to Mbit/s received.
stream() {
    local server line
    lab_start "$lab" server taskset -c "$GENERATOR_CORE" iperf3 -s -1 >/dev/null 2>&1 &
    server=$!
    sleep 0.3
    line=$(lab_in "$lab" client taskset -c "$GENERATOR_CORE" iperf3 -c "$LAB_SERVER_V4" -t "$seconds" -f m | grep receiver)
    wait "$server"
    value=$(sed -n 's/.* \([0-9.]*\) Mbits.*/\1/p' <<<"$line")
    offered='' arrived=$(awk -v mbit="$value" -v s="$seconds" 'BEGIN { printf "%d", mbit * s * 1e6 / 8 / 1448 }')
}

# measure ROUND FORWARDER WHAT: a line of the record.
measure() {
    local round=$1 name=$2 what=$3 unit=Mpps
    bridged=$(lab_in "$lab" gate cat /proc/net/dev | awk '$1 == "a0:" { print $3 }')
    begin "$name" "$what"
    case $what in
        60) frames 60 ;;
        1514) frames 1514 ;;
        stream) stream && unit=Mbit/s ;;
    esac
    end "$name"
    # A twentieth of tolerance: a merged segment counts once on one side and twice on the other.
    [[ ${proof:-0} -ge $((arrived * 19 / 20)) ]] ||
        lab_fail "$name: $arrived frames arrived, but it counted only ${proof:-none}: they went another way"
    printf '%s,%s,%s,%s,%s,%s,%s,%s\n' "$round" "$name" "$what" "$value" "$unit" "$offered" "$arrived" "$proof" \
        >>"$record.csv"
    printf '    round %s of %s  %-9s %-7s %10s %s\n' "$round" "$rounds" "$name" "$what" "$value" "$unit"
}

# The median of each forwarder and measurement, and its share of the bridge's.
table() {
    tail -n +2 "$record.csv" | sort -t , -k 2,2 -k 3,3 -k 4,4n | awk -F , '
        { key = $2 "," $3; values[key] = values[key] " " $4; unit[$3] = $5 }
        END {
            printf "%-10s %12s %12s %14s\n", "", "60 B Mpps", "1514 B Mpps", "stream Mbit/s"
            count = split("bridge bare tollgate rules", names, " ")
            for (i = 1; i <= count; i++) {
                printf "%-10s", names[i]
                split("60 1514 stream", whats, " ")
                for (w = 1; w <= 3; w++) {
                    n = split(values[names[i] "," whats[w]], list, " ")
                    printf w < 3 ? " %12s" : " %14s", list[int((n + 1) / 2)]
                }
                printf "\n"
            }
        }'
}

main() {
    local round name what
    [[ $EUID -eq 0 ]] || lab_fail "needs root, to make network namespaces"
    [[ $(nproc) -ge 2 ]] || lab_fail "needs two cores: one for the generator, one for the forwarder"
    record_begin lab
    prepare
    echo "round,forwarder,frame_bytes,value,unit,offered_mpps,arrived_frames,counted_by_forwarder" >"$record.csv"
    echo "==> $rounds rounds of ${#FORWARDERS[@]} forwarders; some $((rounds * (${#FORWARDERS[@]}) * 3 * (seconds + 4) / 60 + 1)) minutes"
    for ((round = 1; round <= rounds; round++)); do
        for what in 60 1514 stream; do
            for name in "${FORWARDERS[@]}"; do
                measure "$round" "$name" "$what"
            done
        done
    done
    { describe && echo && table; } | tee -a "$record.txt"
    record_end
}

main
