#!/usr/bin/env bash
# Fetches what the guest is made of, once, and installs none of it.
#
#     fetch.sh CACHE
#
# Into CACHE/kernel goes a Debian kernel of the suite below with its modules, into CACHE/tools a QEMU of 8 or
# later (the first with an emulated igb) and a static busybox. Ends with 2, and a line that says why, where they
# cannot be had.
set -euo pipefail

# Zero-copy on virtio-net came with Linux 6.13 and works from later ones on; igb's came with 6.14.
readonly KERNEL_SUITE=trixie-backports

cannot() {
    echo "guest: skipped: $*"
    exit 2
}

# shellcheck source=bench/apt.sh
source "${BASH_SOURCE[0]%/*}/../apt.sh"

fetch_kernel() {
    local image packages
    private_apt kernel "$KERNEL_SUITE"
    image=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
    [[ -n $image ]] || cannot "$KERNEL_SUITE has no kernel"
    # Newer packages split it in two; older ones have all in one.
    mapfile -t packages < <(apt-cache depends "$image" | sed -n 's/^ *Depends: \(linux-\(binary\|modules\)-.*\)$/\1/p')
    [[ ${#packages[@]} -gt 0 ]] || packages=("$image")
    echo "guest: fetching ${packages[*]}"
    (cd "$archives" && limited apt-get download "${packages[@]}")
    unpack "$cache/kernel"
}

fetch_tools() {
    local codename newer=()
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    case $codename in
        bookworm) newer=(bookworm-backports) ;;
        trixie) ;;
        *) cannot "QEMU is fetched on Debian 12 and 13 only, and this is ${codename:-something else}" ;;
    esac
    private_apt tools "$codename" "${newer[@]}"
    echo "guest: fetching QEMU and busybox"
    limited apt-get install --yes --download-only --no-install-recommends --reinstall \
        --target-release "${newer[0]:-$codename}" qemu-system-x86 busybox-static
    unpack "$cache/tools"
}

main() {
    cache=${1:?usage: fetch.sh CACHE}
    [[ -d $cache/kernel && -d $cache/tools ]] && return
    begin_fetching "$cache"
    [[ -d $cache/kernel ]] || fetch_kernel
    [[ -d $cache/tools ]] || fetch_tools
}

main "$@"
