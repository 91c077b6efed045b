#!/usr/bin/env bash
# The lab: three network namespaces and two veth pairs on one machine.
#
#     client [c0] ======= [a0] gate [b0] ======= [s0] server
#
# Whatever runs in `gate` stands in the wire. Client and server share one layer-2 network, so the gate
# needs no addresses: a forwarder that forwards nothing is noticed at once.
#
#     lab.sh up [OPTIONS]                 makes a lab and prints its name
#     lab.sh exec NAME SIDE COMMAND…      runs a command in client, gate or server
#     lab.sh bridge NAME | unbridge NAME  a plain Linux bridge in the gate, to compare with
#     lab.sh down NAME                    ends what runs in the lab and removes it
#     lab.sh sweep                        removes labs whose maker has died
#     lab.sh with [OPTIONS] -- COMMAND…   up, COMMAND with LAB=NAME set, and down whatever happens
#
# Options: --name NAME, --queues N (of every interface; 1), --mtu BYTES (1500), --keep-offloads (leave
# checksum and segmentation offload on at the far ends, as users forget to switch them off), --generator (both far
# ends, c0 and s0, in `client`, without addresses: for tollgate-gen, which is both ends; there is no `server`).
#
# Scripts may also source this file and use the lab_* functions. Names are unique (process id and a random
# number), so that any number of labs live side by side. Needs root, iproute2 and ethtool.
set -euo pipefail

# The addresses: RFC 2544's benchmarking network and a unique-local prefix; neither is ever routed.
readonly LAB_CLIENT_V4=198.18.10.1 LAB_SERVER_V4=198.18.20.1
readonly LAB_STRANGER_V4=198.18.10.200 # a second address of the client
readonly LAB_CLIENT_V6=fd00:7011::10:1 LAB_SERVER_V6=fd00:7011::20:1

lab_fail() {
    echo "lab: $*" >&2
    exit 1
}

# lab_new_name [PROCESS]: the process is the one that answers for the lab.
lab_new_name() {
    echo "tollgate-${1:-$$}-$((RANDOM % 9000 + 1000))"
}

# lab_in NAME SIDE COMMAND…: runs a command in one of the three namespaces. `nsenter` and not
# `ip netns exec`, which would hide /sys/fs/bpf behind a /sys of its own.
lab_in() {
    local name=$1 side=$2
    shift 2
    nsenter --net="/run/netns/$name-$side" -- "$@"
}

# lab_start NAME SIDE COMMAND… &: the same, to be put in the background: `$!` is then the command's own
# process id, and not that of a shell around it.
lab_start() {
    local name=$1 side=$2
    shift 2
    exec nsenter --net="/run/netns/$name-$side" -- "$@"
}

# lab_up NAME QUEUES MTU OFFLOADS
lab_up() {
    local name=$1 queues=$2 mtu=$3 offloads=$4 side interface
    [[ $EUID -eq 0 ]] || lab_fail "needs root, to make network namespaces"
    [[ -z ${lab_generator:-} ]] || { lab_up_for_generator "$name" && return; }
    for side in client gate server; do
        ip netns add "$name-$side"
        lab_in "$name" "$side" sysctl -qw net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.accept_dad=0
        lab_in "$name" "$side" ip link set lo up
    done
    # The gate speaks no IP on the wire: no router solicitations, no neighbour discovery of its own.
    lab_in "$name" gate sysctl -qw net.ipv6.conf.default.disable_ipv6=1
    lab_wire "$name" client c0 a0 "$queues" "$mtu"
    lab_wire "$name" server s0 b0 "$queues" "$mtu"
    lab_address "$name" client c0 "$LAB_CLIENT_V4/15" "$LAB_STRANGER_V4/15" "$LAB_CLIENT_V6/64"
    lab_address "$name" server s0 "$LAB_SERVER_V4/15" "$LAB_SERVER_V6/64"
    for interface in client:c0 server:s0; do
        lab_far_end "$name" "${interface%:*}" "${interface#*:}" "$offloads"
    done
}

# lab_up_for_generator NAME: both far ends in the client's namespace, for one process that has both; no addresses.
lab_up_for_generator() {
    local name=$1 side
    [[ $EUID -eq 0 ]] || lab_fail "needs root, to make network namespaces"
    for side in client gate; do
        ip netns add "$name-$side"
        lab_in "$name" "$side" ip link set lo up
        lab_in "$name" "$side" sysctl -qw net.ipv6.conf.default.disable_ipv6=1
    done
    lab_wire "$name" client c0 a0 1 1500
    lab_wire "$name" client s0 b0 1 1500
    lab_far_end "$name" client c0 off
    lab_far_end "$name" client s0 off
}

# lab_wire NAME SIDE FAR NEAR QUEUES MTU: a veth pair, FAR in SIDE and NEAR in the gate.
lab_wire() {
    local name=$1 side=$2 far=$3 near=$4 queues=$5 mtu=$6
    ip link add name "$near" netns "$name-gate" mtu "$mtu" numtxqueues "$queues" numrxqueues "$queues" \
        type veth peer name "$far" netns "$name-$side" mtu "$mtu" numtxqueues "$queues" numrxqueues "$queues"
    lab_in "$name" gate ip link set "$near" up
    lab_in "$name" "$side" ip link set "$far" up
}

# lab_address NAME SIDE INTERFACE ADDRESS…
lab_address() {
    local name=$1 side=$2 interface=$3 address
    shift 3
    for address in "$@"; do
        if [[ $address == *:* ]]; then
            lab_in "$name" "$side" ip address add "$address" dev "$interface" nodad
        else
            lab_in "$name" "$side" ip address add "$address" dev "$interface"
        fi
    done
}

# lab_far_end NAME SIDE INTERFACE keep|off: a veth leaves checksums and segmentation to a card that is
# not there; real wires carry whole checksums. GRO gives the interface a NAPI instance, without which
# a veth does not receive frames that XDP redirects to its peer.
lab_far_end() {
    local name=$1 side=$2 interface=$3 offloads=$4
    if [[ $offloads == off ]]; then
        lab_in "$name" "$side" ethtool -K "$interface" tx off tso off gso off >/dev/null
    fi
    lab_in "$name" "$side" ethtool -K "$interface" gro on >/dev/null
}

lab_bridge() {
    local name=$1
    lab_in "$name" gate ip link add br0 type bridge
    lab_in "$name" gate ip link set a0 master br0
    lab_in "$name" gate ip link set b0 master br0
    lab_in "$name" gate ip link set br0 up
}

lab_unbridge() {
    lab_in "$1" gate ip link delete br0
}

# Ends what still runs in a namespace of the lab (all of it was started there by the lab's user, and
# the namespace is the lab's own), first politely.
lab_end_processes() {
    local namespace=$1 pids
    pids=$(ip netns pids "$namespace" 2>/dev/null) || return 0
    [[ -n $pids ]] || return 0
    # shellcheck disable=SC2086 # a list of numbers
    kill -TERM $pids 2>/dev/null || true
    for _ in {1..30}; do
        pids=$(ip netns pids "$namespace" 2>/dev/null) || return 0
        [[ -n $pids ]] || return 0
        sleep 0.1
    done
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
}

# lab_down NAME: never fails, so that it can stand in a trap.
lab_down() {
    local name=$1 side
    for side in client server gate; do
        [[ -e /run/netns/$name-$side ]] || continue
        lab_end_processes "$name-$side"
        ip netns delete "$name-$side" || true
    done
}

lab_exists() {
    [[ -e /run/netns/$1-gate ]]
}

# Labs are named after the process that made them.
lab_sweep() {
    local path name maker
    for path in /run/netns/tollgate-*-*-gate; do
        [[ -e $path ]] || continue
        name=$(basename "$path" -gate)
        maker=${name#tollgate-}
        maker=${maker%%-*}
        [[ -e /proc/$maker ]] && continue
        echo "lab: removing $name, left behind by process $maker"
        lab_down "$name"
    done
}

# Sets lab_queues, lab_mtu, lab_offloads and perhaps lab_name from options; the rest goes to lab_rest.
lab_options() {
    lab_queues=1 lab_mtu=1500 lab_offloads=off lab_generator=
    while [[ $# -gt 0 ]]; do
        case $1 in
            --name) lab_name=${2:?--name needs a name} && shift 2 ;;
            --queues) lab_queues=${2:?--queues needs a number} && shift 2 ;;
            --mtu) lab_mtu=${2:?--mtu needs a number of bytes} && shift 2 ;;
            --keep-offloads) lab_offloads=keep && shift ;;
            --generator) lab_generator=1 && shift ;;
            --) shift && break ;;
            -*) lab_fail "unknown option $1" ;;
            *) break ;;
        esac
    done
    lab_rest=("$@")
}

lab_main() {
    local command=${1:-help}
    [[ $# -eq 0 ]] || shift
    case $command in
        up)
            lab_name=$(lab_new_name "$PPID")
            lab_options "$@"
            trap 'lab_down "$lab_name"' ERR INT TERM
            lab_up "$lab_name" "$lab_queues" "$lab_mtu" "$lab_offloads"
            echo "$lab_name"
            ;;
        with)
            lab_name=$(lab_new_name)
            lab_options "$@"
            trap 'lab_down "$lab_name"' EXIT
            trap 'exit 130' INT TERM
            lab_up "$lab_name" "$lab_queues" "$lab_mtu" "$lab_offloads"
            LAB=$lab_name "${lab_rest[@]}"
            ;;
        exec) [[ $# -ge 3 ]] || lab_fail "exec NAME SIDE COMMAND…" && lab_in "$@" ;;
        bridge) lab_bridge "${1:?which lab?}" ;;
        unbridge) lab_unbridge "${1:?which lab?}" ;;
        down) lab_down "${1:?which lab?}" ;;
        sweep) lab_sweep ;;
        *) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" ;;
    esac
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    lab_main "$@"
fi
