# Where figures are kept, and on what they were measured. To be sourced from the top of the repository.
# shellcheck shell=bash

# The commit, and whether anything but the records themselves has changed since.
record_commit() {
    git describe --always --tags 2>/dev/null || { echo unknown && return; }
    git diff --quiet HEAD -- . ':!bench/record' || echo "          with changes"
}

# record_begin WHAT: sets `record` to a path without extension, and writes the .txt beside the .csv; in bench/record, or
# where `record_in` says.
record_begin() {
    local place=${record_in:-bench/record}
    mkdir -p "$place"
    record=$place/$(date -u +%F)-$1
    {
        echo "what:     $1"
        echo "date:     $(date -u '+%F %T') UTC"
        echo "commit:   $(record_commit)"
        echo "kernel:   $(uname -srm)"
        echo "rustc:    $(rustc --version)"
        echo "cores:    $(nproc)"
        # Above the number of cores others were at work too, and figures are worse than they could be.
        echo "load:     $(cut -d ' ' -f 1-3 /proc/loadavg)"
        echo
        lscpu | grep -E '^(Model name|Vendor|CPU\(s\)|Thread|Core|L1d|L2|L3|Hypervisor|Virtualization)' || true
    } >"$record.txt"
}

record_end() {
    echo "==> kept in $record.csv and $record.txt"
}
