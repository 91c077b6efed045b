# Lines for people: what was checked, and whether it was so. To be sourced.
# shellcheck shell=bash

report_failures=0
report_checks=0
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    readonly GREEN=$'\e[32m' RED=$'\e[31m' BOLD=$'\e[1m' DIM=$'\e[2m' PLAIN=$'\e[0m'
else
    readonly GREEN='' RED='' BOLD='' DIM='' PLAIN=''
fi

title() {
    printf '\n%s%s%s\n\n' "$BOLD" "$*" "$PLAIN"
}

note() {
    printf '  %s        %s%s\n' "$DIM" "$*" "$PLAIN"
}

# check SUBJECT FACT COMMAND…: the fact holds if the command succeeds.
check() {
    local subject=$1 fact=$2
    shift 2
    report_checks=$((report_checks + 1))
    if "$@" >/dev/null 2>&1; then
        printf '  %sok%s   %-9s%s\n' "$GREEN" "$PLAIN" "$subject" "$fact"
    else
        report_failures=$((report_failures + 1))
        printf '  %sNO%s   %-9s%s\n' "$RED" "$PLAIN" "$subject" "$fact"
    fi
}

# refute COMMAND…: succeeds if the command fails.
refute() {
    ! "$@"
}

fail_all() {
    printf '  %sNO   %s%s\n' "$RED" "$*" "$PLAIN"
    exit 1
}

# The closing line; fails if any check did.
verdict() {
    if ((report_failures > 0)); then
        printf '\n  %s%d of %d checks failed%s\n\n' "$RED" "$report_failures" "$report_checks" "$PLAIN"
        return 1
    fi
    printf '\n  %sall %d checks passed%s in %d s\n\n' "$GREEN" "$report_checks" "$PLAIN" "$SECONDS"
}
