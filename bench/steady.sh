#!/usr/bin/env bash
# Whether a segment costs more, the more its connection has sent: prints the table and keeps it in bench/record.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source bench/record.sh

cargo build --quiet --release --locked -p tollgate-bench --bin steady
record_begin steady
echo "==> connections of ten gigabytes, in memory; some six minutes"
# Core 0, so that a run is not moved while it is measured.
taskset -c 0 "${CARGO_TARGET_DIR:-target}/release/steady" "$@" >"$record.csv"
{
    echo
    echo "medians of all runs, [least..greatest]; ns of processor time for a segment and its half acknowledgment:"
    echo "the first and the last thousand segments, and the median thousand of the first and of the last tenth"
    echo
    bench/median.sh case segments first_ns last_ns ratio first_tenth_ns last_tenth_ns ratio_of_tenths <"$record.csv"
} | tee -a "$record.txt"
record_end
