#!/usr/bin/env bash
# The engine alone, on one core: prints the table and keeps it in bench/record.
#
#     bench/engine.sh [--flows-max N] [--only NAME] [--rounds N] [--round-ms N]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source bench/record.sh

cargo build --quiet --release --locked -p tollgate-bench --bin engine
engine=${CARGO_TARGET_DIR:-target}/release/engine
# Huge pages for the tables, as the service has them (deploy/tollgate.service).
export GLIBC_TUNABLES=${GLIBC_TUNABLES-glibc.malloc.hugetlb=1}
count=()
command -v valgrind >/dev/null && count=(--instructions) || echo "==> without valgrind no instructions are counted"

record_begin engine
echo "==> what the machine can do"
{
    echo
    echo "huge pages: ${GLIBC_TUNABLES:-not asked for}"
    taskset -c 0 "$engine" --limits | tee /dev/stderr
} >>"$record.txt"
echo "==> the engine alone; some four minutes"
# Core 0, so that a run is not moved while it is measured.
taskset -c 0 "$engine" "${count[@]}" "$@" | tee "$record.csv" | column -s , -t
record_end
