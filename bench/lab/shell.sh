#!/usr/bin/env bash
# A lab to play in: Tollgate between a client and a web server, and a shell to try things from.
#
#     shell.sh PROGRAM [ARGUMENTS OF run…]      by default the demo's rules
#
# The lab lives as long as the shell.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/lab.sh"

program=$(realpath "${1:?usage: shell.sh PROGRAM [ARGUMENTS OF run…]}")
shift
[[ $# -gt 0 ]] || set -- --rules "$here/demo.lua" --config "$here/demo.toml"

lab=$(lab_new_name)
work=$(mktemp -d)
trap 'lab_down "$lab"; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
lab_up "$lab" 1 1500 off

mkdir "$work/site"
echo "Hello from behind the gate." >"$work/site/index.html"
printf 'daemon off; user root; pid %s/pid; error_log %s/error.log; events {} http { access_log off; server { listen 80; listen [::]:80; listen 8080; root %s/site; } }\n' \
    "$work" "$work" "$work" >"$work/nginx.conf"
lab_start "$lab" server nginx -p "$work" -c "$work/nginx.conf" -e "$work/error.log" &
lab_start "$lab" gate "$program" run --pair a0:b0 "$@" >"$work/events.txt" 2>"$work/tollgate.log" &

cat >"$work/rc" <<RC
[[ -e ~/.bashrc ]] && source ~/.bashrc
client() { nsenter --net=/run/netns/$lab-client -- "\$@"; }
server() { nsenter --net=/run/netns/$lab-server -- "\$@"; }
gate() { nsenter --net=/run/netns/$lab-gate -- "\$@"; }
events=$work/events.txt
log=$work/tollgate.log
PS1='[lab] \w\$ '
RC
cat <<TEXT

client [c0 $LAB_CLIENT_V4 $LAB_CLIENT_V6] === [a0] tollgate [b0] === [s0 $LAB_SERVER_V4 $LAB_SERVER_V6] nginx

    client curl http://$LAB_SERVER_V4/           goes through; port 8080 does not
    gate curl -s 127.0.0.1:9460/metrics         what Tollgate counts
    tail -f \$events                             what it says; its log is in \$log
    exit                                        takes everything down

TEXT
bash --rcfile "$work/rc" -i || true
