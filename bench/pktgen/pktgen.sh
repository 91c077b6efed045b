#!/bin/sh
# The kernel's packet generator, for the scripts beside this one. To be sourced, by any POSIX shell.
#
# pktgen sends UDP only. It loads whatever stands in the wire with frames at the speed of the sending driver;
# what Tollgate does with connections, it does not touch. The device must be up; root and the module pktgen
# are needed. Options of every script:
#
#     -i DEVICE   sends here                       -m MAC      of the receiver, or of the next router
#     -d ADDRESS  of the receiver, IPv4 or IPv6    -n COUNT    frames for each thread; 0: until interrupted (100000)
#     -s BYTES    of a frame, without its FCS (60) -t THREADS  each on a core and a transmit queue of its own (1)
#     -r RATE     frames a second for each thread; 0: as fast as it goes (0)
#     -f FLOWS    different source ports for each thread (1)
#     -c CLONES   times that one frame is sent before the next is made; not on virtual devices (0)
#
# At the end it prints a line for each thread, as the kernel gives it, and a sum:
#
#     pktgen: sent=100000 errors=0 pps=812345

pg_proc=/proc/net/pktgen

pg_fail() {
    echo "pktgen: $*" >&2
    exit 1
}

# pg_set FILE WORDS…: one command to the generator, which tells in the same file what it thought of it.
pg_set() {
    pg_file=$pg_proc/$1
    shift
    echo "$*" >"$pg_file" 2>/dev/null || pg_fail "$pg_file refuses \"$*\": $(grep 'Result:' "$pg_file")"
}

pg_options() {
    pg_device='' pg_address='' pg_mac='' pg_count=100000 pg_size=60 pg_threads=1 pg_rate=0 pg_flows=1 pg_clones=0
    while getopts i:d:m:n:s:t:r:f:c: pg_option; do
        case $pg_option in
            i) pg_device=$OPTARG ;;
            d) pg_address=$OPTARG ;;
            m) pg_mac=$OPTARG ;;
            n) pg_count=$OPTARG ;;
            s) pg_size=$OPTARG ;;
            t) pg_threads=$OPTARG ;;
            r) pg_rate=$OPTARG ;;
            f) pg_flows=$OPTARG ;;
            c) pg_clones=$OPTARG ;;
            *) pg_fail "usage: -i DEVICE -d ADDRESS -m MAC [-n COUNT] [-s BYTES] [-t THREADS] [-r RATE] [-f FLOWS] [-c CLONES]" ;;
        esac
    done
    case "$pg_device,$pg_address,$pg_mac" in
        ,* | *,,* | *,) pg_fail "-i, -d and -m must be given" ;;
    esac
    [ -d "$pg_proc" ] || modprobe pktgen 2>/dev/null || true
    [ -d "$pg_proc" ] || pg_fail "the module pktgen cannot be loaded"
    [ -e "$pg_proc/kpktgend_$((pg_threads - 1))" ] || pg_fail "there are fewer than $pg_threads cores"
}

# Gives every thread its queue of the device. A device may be given to several threads as NAME@NUMBER.
pg_devices() {
    trap pg_clear EXIT
    trap 'exit 130' INT TERM
    pg_clear
    pg_thread=0
    while [ "$pg_thread" -lt "$pg_threads" ]; do
        pg_name=$pg_device@$pg_thread
        pg_set "kpktgend_$pg_thread" "add_device $pg_name"
        pg_set "$pg_name" "count $pg_count"
        pg_set "$pg_name" "pkt_size $pg_size"
        pg_set "$pg_name" "clone_skb $pg_clones"
        [ "$pg_rate" -eq 0 ] || pg_set "$pg_name" "ratep $pg_rate"
        pg_set "$pg_name" "queue_map_min $pg_thread"
        pg_set "$pg_name" "queue_map_max $pg_thread"
        case $pg_address in
            *:*) pg_set "$pg_name" "dst6 $pg_address" ;;
            *) pg_set "$pg_name" "dst $pg_address" ;;
        esac
        pg_set "$pg_name" "dst_mac $pg_mac"
        pg_set "$pg_name" "udp_dst_min 9"
        pg_set "$pg_name" "udp_dst_max 9"
        pg_set "$pg_name" "udp_src_min 1024"
        pg_set "$pg_name" "udp_src_max $((1024 + pg_flows))"
        pg_set "$pg_name" "flag UDPCSUM"
        pg_thread=$((pg_thread + 1))
    done
}

# for each thread's device: pg_each COMMAND NAME ARGUMENTS…
pg_each() {
    pg_thread=0
    while [ "$pg_thread" -lt "$pg_threads" ]; do
        "$@" "$pg_device@$pg_thread"
        pg_thread=$((pg_thread + 1))
    done
}

# Returns when all has been sent. An interrupt stops the generator, too.
pg_start() {
    pg_set pgctrl start
}

pg_print() {
    grep -A 1 'Result: OK' "$pg_proc/$1" | tr -s ' \n' ' '
    echo
}

pg_report() {
    pg_each pg_print
    pg_each pg_print | awk '
        { for (i = 1; i <= NF; i++) if ($i ~ /^[0-9]+pps$/) pps += $i; else if ($i == "errors:") errors += $(i + 1) }
        END { printf "pktgen: sent=%d errors=%d pps=%d\n", sent, errors, pps }' sent="$(pg_sent)"
}

pg_sent() {
    pg_each pg_sent_by | awk '{ sum += $1 } END { print sum + 0 }'
}

pg_sent_by() {
    sed -n 's/^.*pkts-sofar: \([0-9]*\).*$/\1/p' "$pg_proc/$1"
}

# Takes the devices from all threads of this network namespace, so that nothing of ours is left.
pg_clear() {
    for pg_kernel_thread in "$pg_proc"/kpktgend_*; do
        echo rem_device_all >"$pg_kernel_thread" 2>/dev/null || true
    done
}
