#!/usr/bin/env bash
# What forwarding costs: Tollgate beside a plain Linux bridge and a bare AF_XDP forwarder, in one lab, in turn.
#
#     compare.sh [PROGRAM] [ROUNDS] [SECONDS]      target/release/tollgate, 5 rounds, 3 s a measurement
#
# Each round measures every forwarder once, so that what the machine does meanwhile falls on all alike. Traffic
# is one TCP connection of Linux's own (iperf3, offloads off), with full and with small segments; both its ends
# run on core 1. Forwarders that have a thread of their own run it on core 0; a bridge has none, and works on the
# core of whoever sends. Every figure is what *arrived*, and beside it stands what the forwarder itself counted.
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
readonly ENDS_CORE=1 FORWARDER_CORE=0 SIZES=(88 1460) # MSS; 88 is the least that Linux takes

describe() {
    cat <<'TEXT'
bridge    a Linux bridge in the gate; no thread of its own, it runs on the core of the ends
bare      crates/link/examples/bare_forwarder.rs: the same rings, no parsing, no flows
tollgate  tollgate run, one worker, no rules: every connection followed, every checksum verified
rules     tollgate run, one worker, a Lua rule that is called with all data
TEXT
}

prepare() {
    echo "==> building"
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

# begin FORWARDER: when it returns, the forwarder forwards.
begin() {
    local rules=()
    case $1 in
        bridge)
            lab_bridge "$lab"
            return
            ;;
        bare)
            lab_start "$lab" gate taskset -c "$FORWARDER_CORE" "$built/examples/bare_forwarder" \
                --pair a0:b0 --seconds "$((seconds + 6))" >"$work/forwarder.log" 2>&1 &
            ;;
        tollgate | rules)
            [[ $1 == tollgate ]] || rules=(--rules "$work/rules.lua")
            lab_start "$lab" gate taskset -c "$FORWARDER_CORE" "$program" run --pair a0:b0 --config "$here/demo.toml" \
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
            return
            ;;
        bare)
            wait "$forwarder"
            proof=$(sed -n 's/^from a: \([0-9]*\) frames.*/\1/p' "$work/forwarder.log")
            ;;
        tollgate | rules)
            sleep 0.7 # until the page has the last of it
            proof=$(lab_in "$lab" gate curl -sf http://127.0.0.1:9460/metrics |
                awk '/^tollgate_frames_received_total{.*port="a"/ { sum += $2 } END { print sum }')
            kill -TERM "$forwarder"
            wait "$forwarder" || { cat "$work/forwarder.log" >&2 && lab_fail "$1 did not end well"; }
            ;;
    esac
    lab_in "$lab" gate ip link show | grep -q xdp && lab_fail "$1 left an XDP program behind"
    return 0
}

# stream MSS: one TCP connection of Linux's own, of segments with at most MSS bytes; sets `value` to millions of
# segments a second, and `arrived` to their number. Linux takes the 12 bytes of timestamps from the MSS.
stream() {
    local server line bytes payload=$(($1 - 12))
    lab_start "$lab" server taskset -c "$ENDS_CORE" iperf3 -s -1 >/dev/null 2>&1 &
    server=$!
    sleep 0.3
    line=$(lab_in "$lab" client taskset -c "$ENDS_CORE" iperf3 -c "$LAB_SERVER_V4" -M "$1" -t "$seconds" -f k | grep receiver)
    wait "$server"
    mbit=$(sed -n 's/.* \([0-9.]*\) Kbits.*/\1/p' <<<"$line" | awk '{ printf "%d", $1 / 1000 }')
    bytes=$((mbit * 125000 * seconds))
    arrived=$((bytes / payload))
    value=$(awk -v n="$arrived" -v s="$seconds" 'BEGIN { printf "%.3f", n / s / 1e6 }')
}

# measure ROUND FORWARDER MSS: a line of the record.
measure() {
    local round=$1 name=$2 mss=$3
    bridged=$(lab_in "$lab" gate cat /proc/net/dev | awk '$1 == "a0:" { print $3 }')
    begin "$name"
    stream "$mss"
    end "$name"
    # A twentieth of tolerance: iperf3 rounds, and its seconds are not quite ours.
    [[ ${proof:-0} -ge $((arrived * 19 / 20)) ]] ||
        lab_fail "$name: $arrived frames arrived, but it counted only ${proof:-none}: they went another way"
    echo "$round,$name,$((mss + 54)),$value,$mbit,$arrived,$proof" >>"$record.csv"
    printf '    round %s of %s  %-9s %4s-byte frames  %8s Mpps  %6s Mbit/s\n' \
        "$round" "$rounds" "$name" "$((mss + 54))" "$value" "$mbit"
}

# The median of each forwarder and frame size.
table() {
    tail -n +2 "$record.csv" | sort -t , -k 2,2 -k 3,3n -k 4,4n | awk -F , '
        { mpps[$2, $3] = mpps[$2, $3] " " $4; mbit[$2, $3] = mbit[$2, $3] " " $5 }
        function median(list, values, n) { n = split(list, values, " "); return values[int((n + 1) / 2)] }
        END {
            printf "%-10s %18s %18s %22s\n", "", "142 bytes: Mpps", "1514 bytes: Mpps", "1514 bytes: Mbit/s"
            count = split("bridge bare tollgate rules", names, " ")
            for (i = 1; i <= count; i++) {
                name = names[i]
                printf "%-10s %18s %18s %22s\n", name, median(mpps[name, 142]), median(mpps[name, 1514]), median(mbit[name, 1514])
            }
        }'
}

main() {
    local round name mss
    [[ $EUID -eq 0 ]] || lab_fail "needs root, to make network namespaces"
    [[ $(nproc) -ge 2 ]] || lab_fail "needs two cores: one for the ends, one for the forwarder"
    record_begin lab
    prepare
    echo "round,forwarder,frame_bytes,mpps,mbit_per_s,arrived_frames,counted_by_forwarder" >"$record.csv"
    local minutes=$((rounds * ${#FORWARDERS[@]} * ${#SIZES[@]} * (seconds + 3) / 60 + 1))
    echo "==> $rounds rounds of ${#FORWARDERS[@]} forwarders; some $minutes minutes"
    for ((round = 1; round <= rounds; round++)); do
        for mss in "${SIZES[@]}"; do
            for name in "${FORWARDERS[@]}"; do
                measure "$round" "$name" "$mss"
            done
        done
    done
    { describe && echo && table; } | tee -a "$record.txt"
    record_end
}

main
