#!/usr/bin/env bash
# A hundred thousand pages through rules that rewrite a header each way and a word of every page: the live tests of
# the web with large counts. Prints what they print and keeps it in bench/record, or where record_in says. With `short`:
# some thousand pages, in a minute, to see that all of it works.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source bench/record.sh

cargo test --quiet --locked -p tollgate --test live --no-run
record_begin web
if [[ ${1:-} == short ]]; then
    echo "==> pages, for a minute"
else
    echo "==> pages, for some minutes"
    export TOLLGATE_SOAK=1
fi
cargo test --quiet --locked -p tollgate --test live -- --nocapture \
    web:: browsers:: | tee "$record.log"
{
    echo
    cat "$record.log"
} >>"$record.txt"
rm "$record.log"
echo "==> kept in $record.txt"
