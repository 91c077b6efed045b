# What is compared: how each forwarder begins and ends, and what it counted meanwhile. To be sourced by compare.sh, which
# sets `lab`, `work`, `program`, `built` and `here`.
# shellcheck shell=bash disable=SC2154

readonly FORWARDERS=(bridge redirect bare tollgate rust lua shunted suricata)
readonly FORWARDER_CORE=0

describe() {
    cat <<'TEXT'
bridge    a Linux bridge in the gate; no thread of its own, it runs on the core of whoever sends
redirect  XDP redirect in the kernel: the steering program without sockets (bare_forwarder --mode redirect); runs as a bridge does
bare      crates/link/examples/bare_forwarder.rs: the same rings as Tollgate, no parsing, no flows
tollgate  tollgate run, one worker, no rules: every connection followed, every checksum verified
rust      examples/firewall, one worker: a rule in Rust that looks for a word in all data
lua       tollgate run, one worker, a Lua rule that is called with all data
shunted   tollgate run, one worker, a Lua rule that lets each connection go: from its 16th packet on it crosses in XDP
suricata  Suricata in-line on AF_PACKET (copy-mode ips), one thread a side, one rule that looks for a word in all data
TEXT
}

write_rules() {
    cat >"$work/lua.lua" <<'LUA'
haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function (flow, current, dir) end
}
LUA
    cat >"$work/shunted.lua" <<'LUA'
haka.rule{
    hook = tcp_connection.events.new_connection,
    eval = function (flow, pkt) flow:shunt() end
}
LUA
    echo 'drop tcp any any -> any any (msg:"not for you"; content:"FOR-INTERNAL-USE-ONLY"; sid:1; rev:1;)' >"$work/suricata.rules"
}

# forwarder_missing NAME: prints why it cannot be compared, and succeeds; fails if it can.
forwarder_missing() {
    local said
    case $1 in
        suricata)
            said=$("$here/suricata.sh" "$cache" 2>&1) && return 1
            tail -n 1 <<<"$said"
            ;;
        shunted)
            "$program" check "$work/shunted.lua" >/dev/null 2>&1 && has_shunt && return 1
            echo "shunted: skipped: this Tollgate has no flow:shunt()"
            ;;
        *) return 1 ;;
    esac
}

# The rule itself is only run with a connection: a recorded one.
has_shunt() {
    "$program" replay --rules "$work/shunted.lua" -r "$here/demo.pcap.gz" 2>&1 | grep -q "attempt to call .*shunt" && return 1
    return 0
}

in_gate() {
    lab_start "$lab" gate taskset -c "$FORWARDER_CORE" "$@" >"$work/forwarder.log" 2>&1
}

# forwarder_begin NAME: it may take a moment until it forwards.
forwarder_begin() {
    arrived_before=$(received_by_a0)
    forwarder=
    case $1 in
        bridge) lab_bridge "$lab" && return ;;
        redirect) in_gate "$built/examples/bare_forwarder" --pair a0:b0 --seconds 600 --mode redirect & ;;
        bare) in_gate "$built/examples/bare_forwarder" --pair a0:b0 --seconds 600 & ;;
        tollgate) in_gate "$program" run --pair a0:b0 --config "$here/demo.toml" --events none & ;;
        rust) in_gate "$built/firewall" run --pair a0:b0 --config "$here/demo.toml" --events none & ;;
        lua | shunted)
            in_gate "$program" run --pair a0:b0 --config "$here/demo.toml" --rules "$work/$1.lua" --events none &
            ;;
        suricata)
            rm -rf "$work/suricata" && mkdir "$work/suricata"
            in_gate "$here/suricata.sh" "$cache" -c "$here/suricata.yaml" -S "$work/suricata.rules" -l "$work/suricata" --af-packet &
            ;;
    esac
    forwarder=$!
}

# forwarder_end NAME: stops it, and sets `proof` to what it counted: frames that it took from port A.
forwarder_end() {
    local wanted
    proof=
    case $1 in
        bridge)
            lab_in "$lab" gate ip link show | grep -q xdp && lab_fail "a bridge with XDP is not plain"
            proof=$(($(received_by_a0) - arrived_before))
            lab_unbridge "$lab"
            return
            ;;
        bare | redirect)
            stop_forwarder "$1"
            # Steered to a socket, or across; never both, so whoever is the wrong one of the two counted nothing.
            wanted='to_socket'
            [[ $1 == bare ]] || wanted='(no_socket_wire|bypassed|other_kernel)'
            proof=$(awk -v wanted="^$wanted:" '
                /^from / { port = $2 }
                port == "a:" && $1 == "steered" && $2 ~ wanted { sum += $3 }
                END { print sum + 0 }' "$work/forwarder.log")
            ;;
        tollgate | rust | lua)
            sleep 0.7 # until the page has the last of it
            proof=$(metric 'tollgate_frames_received_total{.*port="a"')
            stop_forwarder "$1"
            ;;
        shunted)
            sleep 0.7
            proof=$(metric 'tollgate_steered_frames_total{.*port="a".*shunt')
            stop_forwarder "$1"
            ;;
        suricata)
            stop_forwarder "$1"
            proof=$(sed -n 's/.*device: a0: packets: \([0-9]*\),.*/\1/p' "$work/forwarder.log")
            ;;
    esac
    lab_in "$lab" gate ip link show | grep -q xdp && lab_fail "$1 left an XDP program behind"
    return 0
}

stop_forwarder() {
    kill -TERM "$forwarder"
    wait "$forwarder" || { cat "$work/forwarder.log" >&2 && lab_fail "$1 did not end well"; }
}

metric() {
    lab_in "$lab" gate curl -sf http://127.0.0.1:9460/metrics | awk -v pattern="^$1" '$0 ~ pattern { sum += $NF } END { print sum + 0 }'
}

received_by_a0() {
    lab_in "$lab" gate cat /proc/net/dev | awk '$1 == "a0:" { print $3 }'
}
