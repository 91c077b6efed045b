#!/bin/sh
# The Internet mix: of 12 frames 7 of 60 bytes, 4 of 590 and 1 of 1514 (without the FCS), many flows.
#
#     imix.sh -i eth1 -d 198.18.0.2 -m 52:54:00:00:00:04 [-f FLOWS] [-t THREADS] …
#
# The options are explained in pktgen.sh. -s has no effect here. Needs Linux 5.15 or later.
set -eu
. "$(dirname "$0")/pktgen.sh"

pg_mix() {
    pg_set "$1" "imix_weights 60,7 590,4 1514,1"
    pg_set "$1" "flag UDPSRC_RND"
}

pg_options -f 1000 "$@"
pg_devices
pg_each pg_mix
pg_start
pg_report
