#!/usr/bin/env bash
# Runs every fuzz target for a time, or those that are named, and says what came of it.
# Fails if one of them found something.
#
#     FUZZ_SECONDS=600 fuzz/run.sh [target ...]
#
# It goes on from the committed corpus and from what earlier runs have left in fuzz/target, where new
# inputs are kept. A finding lies in fuzz/artifacts; CONTRIBUTING.md says what becomes of it.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${FUZZ_SECONDS:-600}
cargo=${CARGO:-cargo}
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <("$cargo" +nightly fuzz list)

"$cargo" +nightly fuzz build
summary=$(mktemp)
trap 'rm -f "$summary"' EXIT
found=0
for target in "${targets[@]}"; do
    # The longest input: a program of some hundred operations, a header full of options, a small file.
    case $target in
        options) len=512 ;;
        capture) len=8192 ;;
        http | grammar) len=1024 ;;
        *) len=4096 ;;
    esac
    # What mlua counts by a pointer just behind an allocation, the sanitizer takes for lost.
    case $target in dns | http | grammar) leaks=0 ;; *) leaks=1 ;; esac
    grown=target/corpus/$target log=target/$target.log
    mkdir -p "$grown" "corpus/$target" "artifacts/$target"
    echo "==> fuzzing $target for $seconds s"
    outcome=nothing
    "$cargo" +nightly fuzz run "$target" "$grown" "corpus/$target" -- -max_total_time="$seconds" \
        -max_len=$len -timeout=20 -detect_leaks=$leaks -rss_limit_mb=2048 -malloc_limit_mb=256 -print_final_stats=1 \
        >"$log" 2>&1 || outcome=FOUND
    runs=$(awk '/number_of_executed_units/ { runs = $2 } END { print runs + 0 }' "$log")
    if [ "$runs" = 0 ]; then outcome=FAILED; fi
    if [ $outcome != nothing ]; then
        found=1
        grep -E "panicked at|ERROR:|Test unit written|error:" -A 1 "$log" | head -20 || true
    fi
    printf '%-12s %12s runs %8s inputs kept   %s\n' "$target" "$runs" \
        "$(find "$grown" -type f | wc -l)" "$outcome" >>"$summary"
done
echo "==> $seconds s each"
cat "$summary"
exit $found
