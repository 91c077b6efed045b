#!/usr/bin/env bash
# What honest connections have left while somebody attacks, through real AF_XDP: Tollgate beside a bare
# AF_XDP forwarder, in one lab, in turn.
#
#     flood.sh [PROGRAM] [ROUNDS] [SECONDS]      target/release/tollgate, 3 rounds, 3 s a measurement
#
# The honest are four TCP connections of Linux's own (iperf3, offloads off), held to a rate that leaves both cores
# time to spare, so that what is missing was taken by the attack. The attacker (bench/src/bin/flood.rs) shares
# core 1 with them, and the forwarder has core 0. Each round measures both forwarders in turn: nobody
# attacks, every attack, nobody attacks. A bare forwarder follows no connection: what the honest lose there, they
# lose to the wire and to the attacker's share of core 1. The ratio is goodput beside the same forwarder's, in the same
# round, without an attack.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
source bench/lab/lab.sh
source bench/record.sh

program=$(realpath "${1:-target/release/tollgate}")
rounds=${2:-3}
seconds=${3:-3}
built=$(realpath "${CARGO_TARGET_DIR:-target}")/release
readonly FORWARDERS=(bare tollgate) ENDS_CORE=1 FORWARDER_CORE=0
readonly CONNECTIONS=4 MBIT_EACH=50
# NAME:RATE in frames a second. The sender alone could 400,000, but then a bare forwarder, too, leaves the honest one
# hundredth: the wire is full, whatever stands in it.
readonly ATTACKS=(
    none:0 half-open:50000 syn-flood:100000 syn-flood:200000 strays:50000 fragments:50000
    bytes-reversed:50000 bytes-reversed-beyond:50000 overlaps:50000 holes:50000 none:0
)

prepare() {
    echo "==> building"
    cargo build --quiet --release --locked -p tollgate-link --example bare_forwarder
    cargo build --quiet --release --locked -p tollgate-bench --bin flood
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
    case $1 in
        # It ends by itself: killed, it would leave a wire behind, and the next one's first connection would
        # cross by that.
        bare)
            lab_start "$lab" gate taskset -c "$FORWARDER_CORE" "$built/examples/bare_forwarder" \
                --pair a0:b0 --seconds "$((seconds + 8))" >"$work/forwarder.log" 2>&1 &
            ;;
        tollgate)
            lab_start "$lab" gate taskset -c "$FORWARDER_CORE" "$program" run --pair a0:b0 --config "$here/demo.toml" \
                --rules "$work/rules.lua" --events none >"$work/forwarder.log" 2>&1 &
            ;;
    esac
    forwarder=$!
    local _
    for _ in {1..100}; do
        if lab_in "$lab" client ping -c 1 -W 1 "$LAB_SERVER_V4" >/dev/null 2>&1 && { [[ $1 == bare ]] || [[ -n $(page) ]]; }; then
            sleep 0.5
            return 0
        fi
        sleep 0.1
    done
    cat "$work/forwarder.log" >&2
    lab_fail "$1 does not forward"
}

# end FORWARDER
end() {
    [[ $1 == bare ]] || kill -TERM "$forwarder"
    wait "$forwarder" || { cat "$work/forwarder.log" >&2 && lab_fail "$1 did not end well"; }
    lab_in "$lab" gate ip link show | grep -q xdp && lab_fail "$1 left an XDP program behind"
    return 0
}

# page: all metrics, once; nothing where there are none.
page() {
    lab_in "$lab" gate curl -sf http://127.0.0.1:9460/metrics 2>/dev/null || true
}

# sum NAME PATTERN: of the samples of the page on stdin.
sum() {
    awk -v name="$1" -v pattern="${2:-.}" 'index($1, name) == 1 && $0 ~ pattern { sum += $NF } END { printf "%d", sum }'
}

resident() {
    awk '/^VmRSS/ { printf "%d", $2 / 1024 }' "/proc/$forwarder/status"
}

# Frames that XDP has seen at the gate's port A, whoever forwards.
arrived_at_a() {
    lab_in "$lab" gate cat /proc/net/dev | awk '$1 == "a0:" { print $3 }'
}

# measure ROUND FORWARDER ATTACK RATE: a line of the record.
measure() {
    local round=$1 name=$2 attack=$3 rate=$4 server attacker='' sent=0 pps=0 during lost
    local before after seen levels=0,0,0,0,0
    before=$(page)
    seen=$(arrived_at_a)
    lab_start "$lab" server taskset -c "$ENDS_CORE" iperf3 -s -1 >/dev/null 2>&1 &
    server=$!
    sleep 0.3
    if [[ $attack != none ]]; then
        lab_start "$lab" client taskset -c "$ENDS_CORE" "$built/flood" --interface c0 --peer "/run/netns/$lab-server:s0" \
            --attack "$attack" --rate "$rate" --seconds "$((seconds + 2))" >"$work/flood.log" 2>&1 &
        attacker=$!
        sleep 1
    fi
    lab_in "$lab" client taskset -c "$ENDS_CORE" iperf3 -c "$LAB_SERVER_V4" -P "$CONNECTIONS" -b "${MBIT_EACH}M" \
        -t "$seconds" -f k --connect-timeout 5000 >"$work/iperf.log" 2>&1 &
    local client=$!
    sleep "$((seconds - 1))"
    during=$(page)
    local memory
    memory=$(resident)
    # No established connection may break: iperf3 fails if one of its five does.
    wait "$client" || { cat "$work/iperf.log" >&2 && lab_fail "$name: a connection broke during $attack"; }
    wait "$server"
    if [[ -n $attacker ]]; then
        wait "$attacker" || { cat "$work/flood.log" >&2 && lab_fail "the attacker failed"; }
        sent=$(sed -n 's/^sent=\([0-9]*\).*/\1/p' "$work/flood.log")
        pps=$(sed -n 's/.*pps=//p' "$work/flood.log")
    fi
    sleep 0.7
    after=$(page)
    seen=$(($(arrived_at_a) - seen))
    local mbit retransmitted received dropped
    mbit=$(sed -n 's/^\[SUM\].* \([0-9.]*\) Kbits.*receiver.*/\1/p' "$work/iperf.log" | awk '{ printf "%.1f", $1 / 1000 }')
    retransmitted=$(awk '/^\[SUM\].*sender/ { print $(NF - 1) }' "$work/iperf.log")
    received=$(($(sum tollgate_frames_received_total 'port="a"' <<<"$after") - $(sum tollgate_frames_received_total 'port="a"' <<<"$before")))
    dropped=$(($(sum tollgate_frames_dropped_total <<<"$after") - $(sum tollgate_frames_dropped_total <<<"$before")))
    lost=$(($(sum tollgate_kernel_dropped_frames_total <<<"$after") - $(sum tollgate_kernel_dropped_frames_total <<<"$before")))
    if [[ $name == tollgate ]]; then
        levels=$(sum tollgate_flows 'half_open' <<<"$during"),$(sum tollgate_held_frames <<<"$during")
        levels+=,$(sum tollgate_retained_bytes <<<"$during"),$(sum tollgate_fragments_waiting <<<"$during")
        levels+=,$(sum tollgate_unbalanced_turns_total <<<"$after")
        # The path: what came to a0 the worker took, or the kernel dropped at the worker's sockets.
        (((received + lost) * 100 >= (seen - 100) * 90)) || lab_fail "$seen frames came to a0, but the worker counted $received and $lost lost"
    fi
    echo "$round,$name,$attack,$rate,$sent,$pps,$seen,$received,$dropped,$lost,$mbit,$retransmitted,$memory,$levels" >>"$record.csv"
    printf '    round %s of %s  %-9s %-22s %7s sent/s  %7s Mbit/s  %5s retransmitted  %4s MiB\n' \
        "$round" "$rounds" "$name" "$attack" "$pps" "$mbit" "$retransmitted" "$memory"
}

# For each forwarder and attack the median ratio of goodput to that without attack, in its own round.
table() {
    awk -F , '
        NR == 1 { next }
        $3 == "none" { quiet[$1, $2] += $11; times[$1, $2]++ }
        { line[++lines] = $0 }
        END {
            print "forwarder,attack,offered_a_second,sent_a_second,goodput_mbit_per_s,goodput_ratio,resident_mib,half_open,held_frames"
            for (i = 1; i <= lines; i++) {
                split(line[i], f, ",")
                name = f[2] "," f[3] "," f[4]
                if (f[3] == "none") name = f[2] ",none,0"
                ratio = f[11] / (quiet[f[1], f[2]] / times[f[1], f[2]])
                print name "," f[6] "," f[11] "," sprintf("%.3f", ratio) "," f[13] "," f[14] "," f[15]
            }
        }' "$record.csv" | awk -F , 'NR == 1 { print "case" substr($0, index($0, ",sent")); next }
            { print $1 " " $2 ($3 > 0 ? " " $3 : "") "," $4 "," $5 "," $6 "," $7 "," $8 "," $9 }' |
        bench/median.sh case sent_a_second goodput_mbit_per_s goodput_ratio resident_mib half_open held_frames
}

main() {
    local round name attack
    [[ $EUID -eq 0 ]] || lab_fail "needs root, to make network namespaces"
    [[ $(nproc) -ge 2 ]] || lab_fail "needs two cores: one for the ends, one for the forwarder"
    record_begin flood
    prepare
    echo "round,forwarder,attack,rate,sent,sent_pps,frames_at_a0,received_a,dropped,kernel_dropped,goodput_mbit,retransmitted,resident_mib,half_open,held_frames,retained_bytes,fragments,unbalanced" >"$record.csv"
    echo "==> $rounds rounds; some $((rounds * ${#FORWARDERS[@]} * ${#ATTACKS[@]} * (seconds + 10) / 60 + 1)) minutes"
    for ((round = 1; round <= rounds; round++)); do
        for attack in "${ATTACKS[@]}"; do
            for name in "${FORWARDERS[@]}"; do
                begin "$name"
                measure "$round" "$name" "${attack%:*}" "${attack#*:}"
                end "$name"
            done
        done
    done
    {
        echo "load at the end: $(cut -d ' ' -f 1-3 /proc/loadavg)"
        echo
        table
    } | tee -a "$record.txt"
    record_end
}

main
