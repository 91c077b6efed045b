#!/usr/bin/env bash
# What rules cost, on one core: prints the table and keeps it in bench/record.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source bench/record.sh

cargo build --quiet --release --locked -p tollgate-bench --bin rules
record_begin rules
echo "==> rules: none, in Rust, in Lua; some seconds a case"
# Core 0, so that a run is not moved while it is measured.
taskset -c 0 "${CARGO_TARGET_DIR:-target}/release/rules" "$@" | tee "$record.csv" | column -s , -t
record_end
