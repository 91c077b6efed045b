#!/bin/sh
# One flow, or few, at one frame size: how many frames a second get across.
#
#     flood.sh -i eth1 -d 198.18.0.2 -m 52:54:00:00:00:04 [-n COUNT] [-s BYTES] [-t THREADS] [-r RATE] …
#
# The options are explained in pktgen.sh.
set -eu
. "$(dirname "$0")/pktgen.sh"

pg_options "$@"
pg_devices
pg_start
pg_report
