#!/usr/bin/env bash
# The engine alone, on one core: prints the table and keeps it in bench/record.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source bench/record.sh

cargo build --quiet --release --locked -p tollgate-bench --bin engine
record_begin engine
echo "==> the engine alone; some two minutes"
# Core 0, so that a run is not moved while it is measured.
taskset -c 0 "${CARGO_TARGET_DIR:-target}/release/engine" "$@" | tee "$record.csv" | column -s , -t
record_end
