#!/usr/bin/env bash
# Medians of a table with a header, as it is kept in bench/record.
#
#     median.sh GROUP COLUMN… <TABLE.csv
#
# A line for each value of GROUP, in order of appearance; beside the median, in brackets, least and greatest.
set -euo pipefail

awk -F , -v group="$1" -v wanted="${*:2}" '
    NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; columns = split(wanted, names, " "); next }
    !($at[group] in seen) { seen[$at[group]] = 1; order[++groups] = $at[group] }
    { for (c = 1; c <= columns; c++) values[$at[group], c] = values[$at[group], c] " " $at[names[c]] }
    # An insertion sort: a handful of runs.
    function summary(list, v, n, i, j, x) {
        n = split(list, v, " ")
        for (i = 2; i <= n; i++) {
            x = v[i]
            for (j = i - 1; j > 0 && v[j] + 0 > x + 0; j--) v[j + 1] = v[j]
            v[j + 1] = x
        }
        return v[1] == v[n] ? v[1] : v[int((n + 1) / 2)] " [" v[1] ".." v[n] "]"
    }
    END {
        printf "%s", group
        for (c = 1; c <= columns; c++) printf ",%s", names[c]
        print ""
        for (g = 1; g <= groups; g++) {
            printf "%s", order[g]
            for (c = 1; c <= columns; c++) printf ",%s", summary(values[order[g], c])
            print ""
        }
    }' | column -s , -t
