#!/usr/bin/env bash
# Tollgate on cards whose drivers do zero-copy, without such cards: in a guest of QEMU's own emulation, no KVM.
#
#     guest.sh CACHE PROGRAM [virtio|igb]…      both, when none is named
#
# A Debian kernel is booted with four emulated cards on two hubs: a client, the two ends of the wire, a server.
# In it `tollgate run --mode zerocopy` is put through the scenes of scenes.sh, and what the guest tells over its
# serial line is judged here. Says why and ends with 0 where QEMU or a kernel cannot be had. Speeds in there
# mean nothing. Nothing is installed, and nothing is left but the downloads in CACHE.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lab/report.sh
source "$here/../lab/report.sh"

readonly BOOT_SECONDS_MAX=270 # of one guest, from power to power off; 60 to 90 on an idle machine

# ---- the guest -----------------------------------------------------------------------------------------

# cards KIND: the arguments for four of them. Hubs and no host network, so that nothing gets out.
cards() {
    local kind=$1 hub number=0
    for hub in 0 0 1 1; do
        number=$((number + 1))
        echo -netdev "hubport,id=n$number,hubid=$hub"
        case $kind in
            # Only behind an IOMMU's API does virtio-net offer its memory to zero-copy.
            virtio) echo -device "virtio-net-pci,netdev=n$number,mac=52:54:00:00:00:0$number,disable-legacy=on,iommu_platform=on,romfile=" ;;
            igb)
                echo -device "pcie-root-port,id=p$number,chassis=$number,slot=$number"
                echo -device "igb,netdev=n$number,bus=p$number,mac=52:54:00:00:00:0$number,romfile="
                ;;
        esac
    done
}

# boot KIND: its serial line goes to $work/KIND. At its start a kernel counts ticks of the emulated timer, and panics where the
# host is too busy to deliver them in time: hence no_timer_check.
boot() {
    local kind=$1 tools=$cache/tools libraries=$cache/tools/usr/lib/x86_64-linux-gnu:$cache/tools/lib/x86_64-linux-gnu
    local kernel code=0 arguments
    kernel=$(find "$cache/kernel" '(' -name 'vmlinuz*' -o -name bzImage ')' -print -quit)
    mapfile -t arguments < <(cards "$kind" | tr ' ' '\n')
    LD_LIBRARY_PATH=$libraries timeout --kill-after=5 "$BOOT_SECONDS_MAX" \
        "$tools/usr/bin/qemu-system-x86_64" -L "$tools/usr/share/qemu" -L "$tools/usr/share/seabios" \
        -nodefaults -no-user-config -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 \
        -display none -monitor none -serial stdio -no-reboot "${arguments[@]}" \
        -kernel "$kernel" -initrd "$work/image" -append "console=ttyS0 quiet panic=-1 no_timer_check" \
        </dev/null >"$work/raw" 2>"$work/qemu" &
    qemu=$!
    wait "$qemu" || code=$?
    qemu=
    tr -d '\r' <"$work/raw" >"$work/$kind"
    cat "$work/qemu" >>"$work/$kind"
    [[ $code -ne 124 ]] || note "the guest was stopped after $BOOT_SECONDS_MAX s"
}

# ---- what it said --------------------------------------------------------------------------------------

fact() {
    sed -n "s/^FACT $1 //p" "$serial" | head -n 1
}

# is KEY VALUE: and not nothing.
is() {
    local value
    value=$(fact "$1")
    [[ -n $value && $value == "$2" ]]
}

# some KEY: more than nothing.
some() {
    [[ $(fact "$1") -gt 0 ]]
}

# metric PLAY PATTERN: the sum over all series that match.
metric() {
    sed -n "s/^METRIC $1 //p" "$serial" | awk -v pattern="^$2" '$0 ~ pattern { sum += $NF } END { printf "%d\n", sum }'
}

# counted PLAY PATTERN: more than nothing.
counted() {
    [[ $(metric "$1" "$2") -gt 0 ]]
}

# zero_copy PLAY: every queue of both ports, and as many as the cards have.
zero_copy() {
    local lines
    lines=$(grep -c "^TOLLGATE $1 .* queue [0-9]*: zero-copy, worker" "$serial") || return 1
    [[ $lines -eq $(($(fact queues_a0) + $(fact queues_b0))) && $lines -ge 2 ]]
}

# zero PLAY NAME: the series is there, and 0 wherever it is.
zero() {
    grep -q "^METRIC $1 $2" "$serial" && [[ $(metric "$1" "$2") -eq 0 ]]
}

# queues_worked PLAY PORT: how many of the port's queues have received.
queues_worked() {
    grep -c "^METRIC $1 tollgate_queue_frames_received_total{.*port=\"$2\".* [1-9]" "$serial"
}

judge_play() {
    local play=$1
    check "$play" "zero-copy on every queue ($(fact queues_a0) + $(fact queues_b0)), as the kernel says of each socket" zero_copy "$play"
    check "$play" "pings: $(fact "$play.pings") of $(fact "$play.pings_wanted") answered" \
        is "$play.pings" "$(fact "$play.pings_wanted")"
    check "$play" "a page fetched, SHA-256 as on the server" is "$play.page" "$(fact "$play.page_wanted")"
    check "$play" "the same over IPv6" is "$play.page_v6" "$(fact "$play.page_wanted")"
    check "$play" "the same sent by the client" is "$play.upload" "$(fact "$play.page_wanted")"
    check "$play" "a connection dropped by a rule: no answer, and the server heard nothing" is "$play.refused_opens" 0
    check "$play" "its alert was printed" some "$play.refused_alerts"
    check "$play" "a connection reset by a rule in mid-stream: the client was reset" is "$play.reset_client" 1
    check "$play" "and the server" is "$play.reset_server" 1
    check "$play" "neither sent a RST itself" is "$play.reset_by_themselves" 0
    check "$play" "what came before the word had passed, the word not" is "$play.reset_got" "a word that may pass|"
    check "$play" "its alert was printed" is "$play.reset_alerts" 1
    judge_counters "$play"
    check "$play" "SIGTERM: exit code 0" is "$play.stop_exit" 0
    check "$play" "every frame accounted for" grep -q "^TOLLGATE $play .*every frame accounted for" "$serial"
    check "$play" "no XDP program and no pin is left" is "$play.stop_left" 00
}

# The path: through sockets, and what left is what came less what rules refused.
judge_counters() {
    local play=$1 series
    for series in 'steered_frames_total{.*to_socket' 'frames_received_total{' 'frames_transmitted_total{' \
        'queue_frames_received_total{.*port="a"' 'queue_frames_received_total{.*port="b"' \
        'queue_frames_transmitted_total{.*port="a"' 'queue_frames_transmitted_total{.*port="b"' 'rsts_sent_total'; do
        check "$play" "$(printf '%-46s %8d' "$series" "$(metric "$play" "tollgate_$series")")" counted "$play" "tollgate_$series"
    done
    check "$play" "no residue in the balance of frames" zero "$play" tollgate_balance_residue
    # Drivers look into the fill rings before these can be filled, and the kernel counts that.
    check "$play" "the kernel dropped no frame at a socket" \
        is "$play.dropped_before" "$(metric "$play" tollgate_kernel_dropped_frames_total)"
}

judge() {
    local kind=$1
    serial=$work/$kind
    note "kernel $(fact kernel), drivers $(fact driver_a0) and $(fact driver_b0), $(fact end) s in the guest"
    if is rss_a0 1 && is rss_b0 1; then
        check guest "the driver took a symmetric RSS key and gives it back" true
    else
        note "symmetric RSS: the driver takes no key"
    fi
    judge_play kernel
    if [[ $(fact driver_a0) == virtio_net ]]; then
        check kernel "what is no TCP crossed in user space, for virtio-net takes no redirected frames by zero-copy" \
            counted kernel 'tollgate_steered_frames_total{.*other_user'
    else
        check kernel "what is no TCP crossed by XDP redirect" counted kernel 'tollgate_steered_frames_total{.*other_kernel'
    fi
    judge_play user
    judge_lossy
    judge_pktgen
    note "$(metric user tollgate_frames_handed_out_total) frames were handed from worker to worker"
    check killed "SIGKILL under fail = \"wire\": a page crosses uninspected" is killed.page "$(fact user.page_wanted)"
    check killed "started again: it crosses" is killed.page_again "$(fact user.page_wanted)"
    check killed "stopped: no XDP program and no pin is left" is killed.stop_left 00
    check guest "the kernel had nothing to complain of" is kernel_faults 0
    check guest "it came to its end" test -n "$(fact end)"
    [[ $report_failures -eq 0 ]] || show
}

judge_lossy() {
    [[ -z $(fact user.lossy_missing) ]] || { note "skipped: $(fact user.lossy_missing)" && return; }
    check netem "frames lost and reordered before the wire: the page whole all the same" is user.lossy "$(fact user.page_wanted)"
    check netem "$(metric user tollgate_packets_out_of_order_total) packets waited behind a gap" \
        counted user tollgate_packets_out_of_order_total
}

judge_pktgen() {
    local sent arrived
    [[ -z $(fact user.pktgen_missing) ]] || { note "skipped: $(fact user.pktgen_missing)" && return; }
    sent=$(fact user.pktgen_sent) arrived=$(fact user.pktgen_arrived)
    check pktgen "the guest's kernel sent $sent frames" is user.pktgen_sent "$(fact user.pktgen_wanted)"
    check pktgen "port A received by each of its queues ($(fact queues_a0))" test "$(queues_worked user a)" -eq "$(fact queues_a0)"
    check pktgen "of which $arrived crossed by zero-copy and reached the server" test "${arrived:-0}" -ge "$((${sent:-1000000} * 9 / 10))"
}

# For whoever has to find out why.
show() {
    title "What the guest said ($serial)"
    grep -v '^METRIC.* 0$' "$serial" | grep -v '^METRIC [a-z]* $' | tail -n 300
}

# Whatever happens: the emulator by its id, and the files.
take_down() {
    [[ -z ${qemu:-} ]] || kill "$qemu" 2>/dev/null || true
    rm -rf "$work"
}

main() {
    local code=0 kind kinds
    cache=${1:?usage: guest.sh CACHE PROGRAM [virtio|igb]…} program=${2:?which program?}
    shift 2
    kinds=("$@")
    [[ ${#kinds[@]} -gt 0 ]] || kinds=(virtio igb)
    "$here/fetch.sh" "$cache" || code=$?
    [[ $code -ne 2 ]] || exit 0
    [[ $code -eq 0 ]] || exit "$code"
    work=$(mktemp -d)
    trap take_down EXIT
    trap 'exit 130' INT TERM
    "$here/image.sh" "$cache" "$program" "$work/image"
    for kind in "${kinds[@]}"; do
        title "Zero-copy in a guest, $kind: client [c0] =hub= [a0] tollgate [b0] =hub= [s0] server"
        boot "$kind"
        judge "$kind"
    done
    verdict
}

main "$@"
