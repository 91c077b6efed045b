#!/usr/bin/env bash
# Suricata of Debian trixie, to compare with: fetched once, installed nowhere.
#
#     suricata.sh CACHE                 fetches it into CACHE/suricata; ends with 2, and a line that says why, where it cannot be had
#     suricata.sh CACHE ARGUMENTS…      runs it
#
# The program runs on the libraries that came with it, C library included, so that the machine may be an older
# Debian.
set -euo pipefail

readonly SUITE=trixie

cannot() {
    echo "suricata: skipped: $*"
    exit 2
}

# shellcheck source=bench/apt.sh
source "${BASH_SOURCE[0]%/*}/../apt.sh"

fetch() {
    begin_fetching "$cache"
    private_apt suricata "$SUITE"
    nothing_installed
    echo "suricata: fetching it from Debian $SUITE"
    limited apt-get install --yes --download-only --no-install-recommends suricata
    unpack "$root"
}

main() {
    cache=${1:?usage: suricata.sh CACHE [ARGUMENTS…]} root=$1/suricata
    shift
    [[ -d $root ]] || fetch
    [[ $# -eq 0 ]] || exec "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path \
        "$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu" "$root/usr/bin/suricata" "$@"
}

main "$@"
