#!/usr/bin/env bash
# Suricata of Debian trixie, to compare with: fetched once, installed nowhere.
#
#     suricata.sh CACHE                 fetches it into CACHE/suricata; ends with 2, and a line that says why, where it cannot be had
#     suricata.sh CACHE ARGUMENTS…      runs it
#
# The program runs on the libraries that came with it, C library included, so that the machine may be an older
# Debian. The machine's apt learns of no suite, and its dpkg of no package.
set -euo pipefail

readonly SUITE=trixie
readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
readonly SECONDS_MAX=240 # for each command that uses the network

cannot() {
    echo "suricata: skipped: $*"
    exit 2
}

# Of the suite that this machine itself is installed from.
mirror() {
    # shellcheck disable=SC2016 # apt's own placeholder
    apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Label: Debian' | head -n 1
}

# An apt that knows one suite, and believes that nothing is installed: so every library is fetched.
private_apt() {
    local root=$1 uri=$2
    mkdir -p "$root"/{lists/partial,archives/partial,parts}
    echo "deb [signed-by=$KEYRING] $uri $SUITE main" >"$root/sources.list"
    : >"$root/status"
    cat >"$root/apt.conf" <<CONF
Dir::Etc::sourcelist "$root/sources.list";
Dir::Etc::sourceparts "$root/parts";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "$root/parts";
Dir::State::lists "$root/lists";
Dir::State::status "$root/status";
Dir::Cache "$root";
Dir::Cache::archives "$root/archives";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "30";
APT::Sandbox::User "root";
CONF
    export APT_CONFIG=$root/apt.conf
}

limited() {
    timeout "$SECONDS_MAX" "$@" >>"$work/log" 2>&1 || {
        tail -n 5 "$work/log"
        cannot "$1 $2 failed"
    }
}

fetch() {
    local uri archive
    [[ $(uname -m) == x86_64 ]] || cannot "this is $(uname -m), and the comparison is for x86-64"
    { command -v apt-get && command -v dpkg; } >/dev/null || cannot "no apt and dpkg to fetch it with"
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/fetching-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    uri=$(mirror)
    [[ -n $uri ]] || cannot "this machine's apt names no mirror of Debian"
    private_apt "$work/apt" "$uri"
    echo "suricata: fetching it from Debian $SUITE"
    limited apt-get update
    limited apt-get install --yes --download-only --no-install-recommends suricata
    for archive in "$work"/apt/archives/*.deb; do
        dpkg -x "$archive" "$work/root"
    done
    [[ -x $work/root/usr/bin/suricata ]] || cannot "its package has no usr/bin/suricata"
    mv "$work/root" "$root"
}

main() {
    cache=${1:?usage: suricata.sh CACHE [ARGUMENTS…]} root=$1/suricata
    shift
    [[ -d $root ]] || fetch
    [[ $# -eq 0 ]] || exec "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path \
        "$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu" "$root/usr/bin/suricata" "$@"
}

main "$@"
