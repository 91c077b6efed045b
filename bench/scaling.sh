#!/usr/bin/env bash
# Workers side by side, and what a flow takes: prints the table and keeps it in bench/record.
#
#     scaling.sh [OPTIONS of the program]      such as --workers 1,2 --flows 1000000 --millis 300
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source bench/record.sh

cargo build --quiet --release --locked -p tollgate-bench --bin scaling
record_begin scaling
echo "==> workers side by side; some two minutes"
"${CARGO_TARGET_DIR:-target}/release/scaling" "$@" | tee "$record.csv" | column -s , -t
record_end
