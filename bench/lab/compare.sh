#!/usr/bin/env bash
# What standing in the wire costs: Tollgate beside other forwarders, in one run, in turn.
#
#     compare.sh [--quick] [--rounds N] [--only NAME,NAME…] [PROGRAM]      3 rounds; target/release/tollgate
#
# Each round puts every forwarder between two veth pairs once, so that whatever else the machine does falls on all
# alike, and measures: one TCP connection of Linux's own (iperf3, offloads off) with full and with small segments, and
# what the whole machine worked for it; then with tollgate-gen, which is both ends: how long segments take at a low
# rate, connections a second, and the highest rate of segments without loss. The ends run on core 1,
# forwarders with a thread of their own on core 0. Every path is proved by what the forwarder itself counted.
#
# Kept in bench/record: the figures (CSV), the machine, and pictures (SVG). --quick is one short round (some two minutes), to
# see that all works, kept beneath the build folder only.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
source bench/lab/lab.sh
source bench/record.sh
source bench/lab/forwarders.sh

readonly ENDS_CORE=1
readonly STREAMS=(1514:1460 142:88) # frame and MSS; 88 is the least that Linux takes

options() {
    rounds=3 seconds=3 trial_ms=1000 precision=3 quick='' only=''
    while [[ ${1:-} == -* ]]; do
        case $1 in
            --quick) quick=1 rounds=1 seconds=1 trial_ms=200 precision=15 && shift ;;
            --rounds) rounds=${2:?--rounds needs a number} && shift 2 ;;
            --only) only=${2:?--only needs names with commas between} && shift 2 ;;
            *) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" && exit 2 ;;
        esac
    done
    target=$(realpath -m "${CARGO_TARGET_DIR:-target}") built=$target/release
    program=$(realpath -m "${1:-$target/release/tollgate}")
    cache=$target/peers
}

prepare() {
    local name reason
    echo "==> building"
    cargo build --quiet --release --locked -p tollgate -p tollgate-gen -p example-firewall
    cargo build --quiet --release --locked -p tollgate-bench --bin figures
    cargo build --quiet --release --locked -p tollgate-link --example bare_forwarder
    work=$(mktemp -d)
    streams_lab=$(lab_new_name) generator_lab=$(lab_new_name)
    trap 'lab_down "$streams_lab"; lab_down "$generator_lab"; rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    write_rules
    names=()
    for name in "${FORWARDERS[@]}"; do
        [[ -z $only || ,$only, == *,$name,* ]] || continue
        reason=$(forwarder_missing "$name") && echo "    $reason" && continue
        names+=("$name")
    done
    lab_up "$streams_lab" 1 1500 off
    lab_up_for_generator "$generator_lab"
}

# keep FORWARDER MEASURE VALUE UNIT: a line of the record.
keep() {
    echo "$round,$1,$2,$3,$4" >>"$record.csv"
    printf '    round %s of %s  %-9s %-26s %12s %s\n' "$round" "$rounds" "$1" "$2" "$3" "$4"
}

# What all cores have worked so far, in hundredths of a second: all, and that of the kernel's softirqs.
worked() {
    awk '$1 == "cpu" { print $2 + $3 + $4 + $7 + $8, $8 }' /proc/stat
}

# stream FORWARDER FRAME MSS: one TCP connection of Linux's own; adds what arrived to `arrived`. Linux takes the 12
# bytes of timestamps from the MSS.
stream() {
    local name=$1 frame=$2 mss=$3 server line mbit before after
    lab_start "$lab" server taskset -c "$ENDS_CORE" iperf3 -p 80 -s -1 >/dev/null 2>&1 &
    server=$!
    sleep 0.3
    before=$(worked)
    line=$(lab_in "$lab" client taskset -c "$ENDS_CORE" iperf3 -p 80 -c "$LAB_SERVER_V4" -M "$mss" -t "$seconds" -f k | grep receiver) ||
        lab_fail "$name: no stream came through"
    after=$(worked)
    wait "$server"
    mbit=$(sed -n 's/.* \([0-9.]*\) Kbits.*/\1/p' <<<"$line" | awk '{ printf "%d", $1 / 1000 }')
    arrived=$((arrived + mbit * 125000 * seconds / (mss - 12)))
    keep "$name" "goodput_$frame" "$mbit" Mbit/s
    [[ $mbit -gt 0 ]] || lab_fail "$name: nothing arrived"
    read -r all softirq < <(awk -v mbit="$((mbit * seconds))" '{ all = $3 - $1; print all / 100 / mbit * 1000, ($4 - $2) / 100 / mbit * 1000 }' <<<"$before $after")
    keep "$name" "cpu_$frame" "$all" s/Gbit
    keep "$name" "softirq_$frame" "$softirq" s/Gbit
}

# generate ARGUMENTS…: tollgate-gen, both ends; its figures go to `figures`, NAME VALUE a line.
generate() {
    local code=0
    lab_in "$lab" client taskset -c "$ENDS_CORE" "$built/tollgate-gen" "$@" -p c0:s0 --quiet >"$work/figures" 2>"$work/generator.log" || code=$?
    [[ $code -ne 2 ]] || { cat "$work/generator.log" >&2 && lab_fail "the generator could not begin"; }
    return "$code"
}

figure() {
    awk -v name="$1" '$1 == name { print $2 }' "$work/figures"
}

await_crossing() {
    local _
    for _ in {1..20}; do
        if [[ $lab == "$streams_lab" ]]; then
            lab_in "$lab" client ping -c 1 -W 1 "$LAB_SERVER_V4" >/dev/null 2>&1 && sleep 0.5 && return 0
        else
            generate tcp --flows 1 --connections 1 --seconds 1 && return 0
        fi
        sleep 0.2
    done
    cat "$work/forwarder.log" >&2
    lab_fail "$1 does not forward"
}

# prove FORWARDER: what it counted is at least what arrived, but for a twentieth: iperf3 rounds.
prove() {
    [[ ${proof:-0} -ge $((arrived * 19 / 20)) ]] ||
        lab_fail "$1: $arrived frames arrived, but it counted only ${proof:-none}: they went another way"
    keep "$1" "counted_$2" "$proof" frames
}

streams() {
    local name=$1 entry
    lab=$streams_lab arrived=0
    forwarder_begin "$name"
    await_crossing "$name"
    for entry in "${STREAMS[@]}"; do
        stream "$name" "${entry%:*}" "${entry#*:}"
    done
    forwarder_end "$name"
    prove "$name" streams
}

segments() {
    local name=$1 frame quantile
    lab=$generator_lab arrived=0
    forwarder_begin "$name"
    await_crossing "$name"
    generate latency --frame 128 --rate 10000 --seconds "$seconds" || tail -n 1 "$work/generator.log" >&2
    for quantile in p50 p99 p999; do
        keep "$name" "one_way_$quantile" "$(figure "one_way_${quantile}_us")" us
    done
    arrived=$(figure arrived_segments)
    generate tcp --flows 500 --request 100 --response 1000 --seconds "$seconds" || tail -n 1 "$work/generator.log" >&2
    keep "$name" connections "$(figure completed_per_s)" 1/s
    # From the client's end came: SYN, ACK or request, acknowledgments, FIN; five at least.
    arrived=$((arrived + 3 * $(figure completed)))
    # Last, for who was sent too much may need a while to come round.
    for frame in 64 1514; do
        # At most one frame in ten thousand, as a machine with two cores is never quite alone.
        generate search --frame "$frame" --trial "$trial_ms" --precision "$precision" --tries 3 --loss 0.01 || tail -n 1 "$work/generator.log" >&2
        keep "$name" "lossless_$frame" "$(figure rate_without_loss_pps)" pps
    done
    forwarder_end "$name"
    prove "$name" segments
}

main() {
    options "$@"
    [[ $EUID -eq 0 ]] || lab_fail "needs root, to make network namespaces"
    [[ $(nproc) -ge 2 ]] || lab_fail "needs two cores: one for the ends, one for the forwarder"
    [[ -z $quick ]] || record_in=$target/record
    record_begin lab
    prepare
    echo "round,forwarder,measure,value,unit" >"$record.csv"
    echo "==> $rounds rounds of ${names[*]}; some $((rounds * ${#names[@]} * (20 + 7 * seconds + trial_ms / 40) / 60 + 1)) minutes"
    for ((round = 1; round <= rounds; round++)); do
        for name in "${names[@]}"; do
            streams "$name"
            segments "$name"
        done
    done
    {
        describe
        echo
        echo "Medians:"
        "$built/figures" table "$record.csv"
        echo
        echo "load at the end: $(cut -d ' ' -f 1-3 /proc/loadavg)"
    } | tee -a "$record.txt"
    "$built/figures" plot "$record.csv" "$record.txt" "$record.svg"
    record_end
    echo "==> pictures in $record.svg; \`make figures\` puts the table into the README"
}

main "$@"
