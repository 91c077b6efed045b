#!/usr/bin/env bash
# Fetches what the guest is made of, once, and installs none of it.
#
#     fetch.sh CACHE
#
# Into CACHE/kernel goes a Debian kernel of the suite below with its modules, into CACHE/tools a QEMU of 8 or
# later (the first with an emulated igb) and a static busybox, all unpacked with `dpkg -x`. The mirror is the
# one that this machine's apt uses; suites, lists and archives are in a directory of our own, so the machine's
# apt knows nothing of it. Ends with 2, and a line that says why, where they cannot be had.
set -euo pipefail

# Zero-copy on virtio-net came with Linux 6.13 and works from later ones on; igb's came with 6.14.
readonly KERNEL_SUITE=trixie-backports
readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
readonly SECONDS_MAX=240 # for each command that uses the network

cannot() {
    echo "guest: $*"
    exit 2
}

# Of the suite that this machine itself is installed from.
mirror() {
    # shellcheck disable=SC2016 # apt's own placeholder
    apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Label: Debian' | head -n 1
}

# private_apt NAME SUITE…: from now on, apt means these suites and a directory of our own.
private_apt() {
    local root=$work/apt-$1 suite uri=$2
    shift 2
    mkdir -p "$root"/{lists/partial,archives/partial,parts}
    for suite in "$@"; do
        echo "deb [signed-by=$KEYRING] $uri $suite main" >>"$root/sources.list"
    done
    cat >"$root/apt.conf" <<CONF
Dir::Etc::sourcelist "$root/sources.list";
Dir::Etc::sourceparts "$root/parts";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "$root/parts";
Dir::State::lists "$root/lists";
Dir::Cache "$root";
Dir::Cache::archives "$root/archives";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "30";
APT::Sandbox::User "root";
CONF
    export APT_CONFIG=$root/apt.conf
    archives=$root/archives
    limited apt-get update
}

limited() {
    timeout "$SECONDS_MAX" "$@" >>"$work/log" 2>&1 || {
        tail -n 5 "$work/log"
        cannot "skipped: $1 could not fetch the packages"
    }
}

# unpack NAME: all that was fetched becomes CACHE/NAME, whole or not at all.
unpack() {
    local archive
    for archive in "$archives"/*.deb; do
        dpkg -x "$archive" "$work/$1"
    done
    mv "$work/$1" "$cache/$1"
}

fetch_kernel() {
    local image packages
    private_apt kernel "$1" "$KERNEL_SUITE"
    image=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
    [[ -n $image ]] || cannot "skipped: $KERNEL_SUITE has no kernel"
    # Newer packages split it in two; older ones have all in one.
    mapfile -t packages < <(apt-cache depends "$image" | sed -n 's/^ *Depends: \(linux-\(binary\|modules\)-.*\)$/\1/p')
    [[ ${#packages[@]} -gt 0 ]] || packages=("$image")
    echo "guest: fetching ${packages[*]}"
    (cd "$archives" && limited apt-get download "${packages[@]}")
    unpack kernel
}

fetch_tools() {
    local codename newer=()
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    case $codename in
        bookworm) newer=(bookworm-backports) ;;
        trixie) ;;
        *) cannot "skipped: QEMU is fetched on Debian 12 and 13 only, and this is ${codename:-something else}" ;;
    esac
    private_apt tools "$1" "$codename" "${newer[@]}"
    echo "guest: fetching QEMU and busybox"
    limited apt-get install --yes --download-only --no-install-recommends --reinstall \
        --target-release "${newer[0]:-$codename}" qemu-system-x86 busybox-static
    unpack tools
}

main() {
    local uri
    cache=${1:?usage: fetch.sh CACHE}
    [[ -d $cache/kernel && -d $cache/tools ]] && return
    [[ $(uname -m) == x86_64 ]] || cannot "skipped: the guest is x86-64, and this is $(uname -m)"
    { command -v apt-get && command -v dpkg; } >/dev/null || cannot "skipped: no apt and dpkg to fetch QEMU and a kernel with"
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/fetching-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    uri=$(mirror)
    [[ -n $uri ]] || cannot "skipped: this machine's apt names no mirror of Debian"
    [[ -d $cache/kernel ]] || fetch_kernel "$uri"
    [[ -d $cache/tools ]] || fetch_tools "$uri"
}

main "$@"
