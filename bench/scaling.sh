#!/usr/bin/env bash
# Workers side by side, and what a flow takes: prints the table and keeps it in bench/record.
#
#     scaling.sh [--quick] [WORKERS…]      1 2 4; --quick: a short run, kept beneath the build folder only
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source bench/record.sh

target=${CARGO_TARGET_DIR:-target}
flows=(10000 1000000 4000000) millis=1000
[[ ${1:-} != --quick ]] || { flows=(10000 200000) millis=200 record_in=$target/record && shift; }
workers=("$@")
[[ ${#workers[@]} -gt 0 ]] || workers=(1 2 4)

cargo build --quiet --release --locked -p tollgate-bench --bin scaling
record_begin scaling
echo "==> ${workers[*]} workers side by side, ${flows[*]} flows; some two minutes"
: >"$record.csv"
for each in "${flows[@]}"; do
    for count in "${workers[@]}"; do
        "$target/release/scaling" --workers "$count" --flows "$each" --millis "$millis" >"$record.part"
        # The names once.
        [[ -s $record.csv ]] || head -n 1 "$record.part" >"$record.csv"
        tail -n 1 "$record.part" | tee -a "$record.csv"
    done
done
rm "$record.part"
echo
column -s , -t "$record.csv" | tee -a "$record.txt"
record_end
