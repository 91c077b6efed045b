#!/bin/sh
# Many flows in random order, so that a card's receive-side scaling spreads them over its queues.
#
#     flows.sh -i eth1 -d 198.18.0.2 -m 52:54:00:00:00:04 [-f FLOWS] [-t THREADS] …
#
# The options are explained in pktgen.sh; -f is 1000 if it is not given.
set -eu
. "$(dirname "$0")/pktgen.sh"

pg_random() {
    pg_set "$1" "flag UDPSRC_RND"
}

pg_options -f 1000 "$@"
pg_devices
pg_each pg_random
pg_start
pg_report
