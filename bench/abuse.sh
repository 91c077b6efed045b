#!/usr/bin/env bash
# What hostile traffic costs, on one core and a link in memory: prints the table and keeps it in bench/record.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source bench/record.sh

cargo build --quiet --release --locked -p tollgate-bench --bin abuse
record_begin abuse
echo "==> hostile traffic beside honest, in memory; some two minutes"
# Core 0, so that a run is not moved while it is measured.
taskset -c 0 "${CARGO_TARGET_DIR:-target}/release/abuse" "$@" >"$record.csv"
{
    echo
    echo "medians of all runs; ns are processor time; left: hostile frames that left on the other side"
    echo
    bench/median.sh attack hostile_ns honest_ns honest_ns_attacked ratio left_percent rss_before_mib rss_during_mib rss_after_mib <"$record.csv"
} | tee -a "$record.txt"
record_end
