#!/usr/bin/env bash
# The main job, for people to watch: Tollgate between a real client and a real web server.
#
#     demo.sh PROGRAM
#
# It stands in the wire with the firewall of demo.lua. One connection is allowed, two are refused, one is
# reset in mid-stream when a word goes by; a real Prometheus scrapes it all the while. What was seen is
# printed, and everything is taken down again. Ends with 1 if anything was not as it should be.
# Without root, which namespaces need, a recorded capture goes through the same engine and rules.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/lab.sh"
source "$here/report.sh"

readonly PAGE_BYTES=3000000
readonly WORD=FOR-INTERNAL-USE-ONLY

# ---- the stage -----------------------------------------------------------------------------------------

prepare_site() {
    mkdir -p "$work/site" "$work/nginx"
    head -c "$PAGE_BYTES" /dev/urandom >"$work/site/page.bin"
    page_sum=$(sha256sum <"$work/site/page.bin")
    # Long enough that the word comes when much has been sent and much is still to come.
    {
        seq -f "line %.0f of a report that anyone may read" 1 20000
        echo "$WORD: and here it stops being so"
        seq -f "line %.0f that nobody gets to see" 1 20000
    } >"$work/site/report.txt"
    cat >"$work/nginx/nginx.conf" <<CONF
user root;
worker_processes 1;
daemon off;
pid $work/nginx/nginx.pid;
error_log $work/nginx/error.log info;
events { worker_connections 256; }
http {
    access_log $work/nginx/access.log;
    client_body_temp_path $work/nginx; proxy_temp_path $work/nginx; fastcgi_temp_path $work/nginx;
    uwsgi_temp_path $work/nginx; scgi_temp_path $work/nginx;
    server { listen 80; listen 8080; root $work/site; location /report.txt { limit_rate 4m; } }
}
CONF
}

start_server() {
    lab_start "$lab" server nginx -p "$work/nginx" -c "$work/nginx/nginx.conf" -e "$work/nginx/error.log" &
    await 5 lab_in "$lab" server curl -so /dev/null "http://127.0.0.1/page.bin"
}

start_tollgate() {
    lab_start "$lab" gate "$program" run --pair a0:b0 --rules "$here/demo.lua" --config "$here/demo.toml" \
        >"$work/events.txt" 2>"$work/tollgate.log" &
    tollgate=$!
    await 10 scrape || { cat "$work/tollgate.log" >&2 && fail_all "tollgate did not start"; }
}

start_prometheus() {
    cat >"$work/prometheus.yml" <<CONF
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [ "$here/../../deploy/prometheus/tollgate.rules.yml" ]
scrape_configs:
  - job_name: tollgate
    static_configs: [ { targets: [ "127.0.0.1:9460" ] } ]
CONF
    lab_start "$lab" gate prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prometheus" \
        --web.listen-address=127.0.0.1:9090 --log.level=warn >"$work/prometheus.log" 2>&1 &
    prometheus=$!
    await 15 lab_in "$lab" gate curl -sf -o /dev/null http://127.0.0.1:9090/-/ready ||
        { cat "$work/prometheus.log" >&2 && fail_all "prometheus did not start"; }
}

# Whatever happens: processes by id, then the namespaces, then the files.
take_down() {
    local id
    for id in "${prometheus:-}" "${tollgate:-}"; do
        [[ -z $id ]] || kill "$id" 2>/dev/null || true
    done
    prometheus='' tollgate=''
    lab_down "$lab"
    rm -rf "$work"
}

# ---- small helpers -------------------------------------------------------------------------------------

# await SECONDS COMMAND…: until it succeeds.
await() {
    local tries=$(($1 * 10))
    shift
    while ((tries-- > 0)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    return 1
}

fetch() {
    lab_in "$lab" client curl -sS --max-time 20 --connect-timeout 2 "$@"
}

scrape() {
    lab_in "$lab" gate curl -sf http://127.0.0.1:9460/metrics
}

# ask EXPRESSION: its value as Prometheus knows it; 0 if it knows none.
ask() {
    lab_in "$lab" gate promtool query instant http://127.0.0.1:9090 "sum($1)" |
        sed -n 's/^.*=> \([^ ]*\) @.*$/\1/p' | grep . || echo 0
}

# alert_seen TEXT: among the events that the program printed.
alert_seen() {
    grep -q "alert .*$1" "$work/events.txt"
}

# ---- the scenes ----------------------------------------------------------------------------------------

scene_closed() {
    local code=0
    fetch -o /dev/null "http://$LAB_SERVER_V4/page.bin" 2>/dev/null || code=$?
    check "before" "no program in the gate, and nothing crosses (curl: exit $code)" test "$code" -ne 0
    # The client is still asking for the server's address, and would soon give up asking.
    lab_in "$lab" client ip neigh flush dev c0
}

scene_allowed() {
    local sum speed
    sum=$(fetch -o - "http://$LAB_SERVER_V4/page.bin" | sha256sum)
    check "allowed" "page of $PAGE_BYTES bytes fetched, SHA-256 as on the server's disk" test "$sum" = "$page_sum"
    speed=$(fetch -o /dev/null -w '%{speed_download}' "http://$LAB_SERVER_V4/page.bin")
    note "at $((${speed%.*} * 8 / 1000000)) Mbit/s through one worker, veth, copy mode"
}

scene_refused() {
    local code=0
    fetch -o /dev/null "http://$LAB_SERVER_V4:8080/page.bin" 2>/dev/null || code=$?
    check "refused" "port 8080: SYN dropped, no answer (curl: exit $code, time-out)" test "$code" -eq 28
    code=0
    fetch --interface "$LAB_STRANGER_V4" -o /dev/null "http://$LAB_SERVER_V4/page.bin" 2>/dev/null || code=$?
    check "refused" "$LAB_STRANGER_V4 is outside the client network: the same" test "$code" -eq 28
    check "refused" "alert \"Packet dropped : drop by default\" printed" \
        await 3 alert_seen "$LAB_STRANGER_V4.*Packet dropped : drop by default"
}

scene_reset() {
    local code=0 got
    fetch -o "$work/got.txt" "http://$LAB_SERVER_V4/report.txt" 2>"$work/curl.txt" || code=$?
    got=$(stat -c %s "$work/got.txt")
    check "reset" "in mid-stream, after $got bytes: client sees \"Connection reset by peer\"" \
        grep -qi "reset by peer" "$work/curl.txt"
    check "reset" "server sees ECONNRESET too" \
        await 3 grep -q "104: Connection reset by peer" "$work/nginx/error.log"
    check "reset" "the word itself did not get through" refute grep -q "$WORD" "$work/got.txt"
    check "reset" "what came before it did, unchanged" cmp -s -n "$got" "$work/got.txt" "$work/site/report.txt"
    check "reset" "alert \"Forbidden word : connection reset\" printed" await 3 alert_seen "Forbidden word"
}

scene_metrics() {
    check "metrics" "promtool finds no fault with the page" lint_metrics
    await 10 prometheus_has_caught_up
    local row
    for row in "${METRICS[@]}"; do
        metric_row "${row%% | *}" "${row##* | }"
    done
}

lint_metrics() {
    scrape | promtool check metrics
}

# Prometheus has scraped a page from after the last scene.
prometheus_has_caught_up() {
    local shown scraped
    shown=$(scrape | sed -n 's/^tollgate_connections_total{.*phase="reset".*} //p' | head -1)
    scraped=$(ask 'tollgate_connections_total{phase="reset"}')
    [[ ${shown%.*} == "${scraped%.*}" && ${shown%.*} -ge 1 ]]
}

# metric_row TITLE EXPRESSION: every one of them must have counted something.
metric_row() {
    local value
    value=$(ask "$2")
    check "metrics" "$(printf '%-46s %10s' "$1" "${value%.*}")" test "${value%.*}" -gt 0
}

readonly METRICS=(
    'connections seen | tollgate_connections_total{phase="new"}'
    'of them refused by a rule | tollgate_connections_total{phase="dropped"}'
    'of them reset by a rule | tollgate_connections_total{phase="reset"}'
    'RSTs sent | tollgate_rsts_sent_total'
    'alerts | tollgate_alerts_total'
    'frames XDP gave to sockets | tollgate_steered_frames_total{verdict="to_socket"}'
    'frames XDP took across (ARP and the like) | tollgate_steered_frames_total{verdict="other_kernel"}'
    'frames received through AF_XDP | tollgate_frames_received_total'
    'frames sent through AF_XDP | tollgate_frames_transmitted_total'
)

scene_stop() {
    local code=0
    kill -TERM "$tollgate"
    wait "$tollgate" || code=$?
    tollgate=
    check "stop" "SIGTERM: exit code $code, every frame accounted for" \
        grep -q "every frame accounted for" "$work/tollgate.log"
    check "stop" "no XDP program is left on the interfaces" refute gate_has_xdp
    sed 's/^/        /' "$work/tollgate.log" | tail -n 14
}

gate_has_xdp() {
    lab_in "$lab" gate ip link show | grep -q xdp
}

live() {
    lab=$(lab_new_name)
    work=$(mktemp -d)
    trap take_down EXIT
    trap 'exit 130' INT TERM
    lab_up "$lab" 1 1500 off
    prepare_site
    start_server
    title "Tollgate in the wire: client [c0]=[a0] tollgate [b0]=[s0] nginx"
    scene_closed
    start_tollgate
    start_prometheus
    scene_allowed
    scene_refused
    scene_reset
    scene_metrics
    scene_stop
    take_down
    check "after" "no namespace, process or file of the demo is left" refute lab_exists "$lab"
}

# ---- without root --------------------------------------------------------------------------------------

replayed() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    title "Not root, so no namespaces: replaying bench/lab/demo.pcap.gz through the same engine and rules"
    "$program" replay --rules "$here/demo.lua" -r "$here/demo.pcap.gz" -w "$work/out.pcap" \
        >"$work/events.txt" 2>"$work/tollgate.log" || { cat "$work/tollgate.log" >&2 && fail_all "replay failed"; }
    check "allowed" "the page's connection ran to its close" grep -q "closed  *198.18.10.1.*198.18.20.1:80 " "$work/events.txt"
    check "refused" "port 8080: alert \"Packet dropped : drop by default\"" alert_seen "Packet dropped : drop by default"
    check "reset" "alert \"Forbidden word : connection reset\"" alert_seen "Forbidden word"
    check "reset" "the word is not in the capture that came out" refute grep -qa "$WORD" "$work/out.pcap"
    check "balance" "every frame accounted for" grep -q "every frame accounted for" "$work/tollgate.log"
    sed 's/^/        /' "$work/tollgate.log" | tail -n 14
}

main() {
    program=$(realpath "${1:?usage: demo.sh PROGRAM}")
    if [[ $EUID -eq 0 ]]; then live; else replayed; fi
    verdict
}

main "$@"
