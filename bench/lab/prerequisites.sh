#!/usr/bin/env bash
# Installs the Debian packages that are missing, if there are any, and nothing else.
#
#     prerequisites.sh [build] [lab] [web]     the first two, when none is named
#
# `build` is what compiling needs (clang for the BPF program, a C compiler for LuaJIT and libbpf, libelf),
# `lab` what the live tests, the demo and the guest use (namespaces, a web server, Prometheus). Without root
# it says what is missing and fails; `web` is what `make web` asks for pages with. Daemons that come with a package are not started.
set -euo pipefail

# command-or-file:package, one for each thing that is really used.
readonly BUILD=(
    clang:clang llvm-strip:llvm gcc:gcc make:make m4:m4 pkg-config:pkg-config
    /usr/include/libelf.h:libelf-dev /usr/include/zlib.h:zlib1g-dev /usr/include/x86_64-linux-gnu/asm/types.h:linux-libc-dev
)
readonly LAB=(
    ip:iproute2 nsenter:util-linux ethtool:ethtool sysctl:procps ping:iputils-ping curl:curl tcpdump:tcpdump
    iperf3:iperf3 nginx:nginx-light prometheus:prometheus promtool:prometheus
    tc:iproute2 xz:xz-utils
)
readonly WEB=(wrk:wrk chromium:chromium)

# Prints the packages of those arguments (thing:package) whose thing is not there.
missing_of() {
    local entry thing package
    for entry in "$@"; do
        thing=${entry%%:*} package=${entry##*:}
        case $thing in
            /usr/include/x86_64-linux-gnu/*) thing=/usr/include/$(uname -m)-linux-gnu/${thing#/usr/include/*/} ;;
        esac
        if [[ $thing == /* ]]; then
            [[ -e $thing ]] || echo "$package"
        else
            PATH=$PATH:/usr/sbin:/sbin command -v "$thing" >/dev/null || echo "$package"
        fi
    done | sort -u
}

# Debian's way to say that no daemon shall be started; removed again if it is ours.
hold_daemons() {
    local policy=/usr/sbin/policy-rc.d
    [[ -e $policy ]] && return
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
}

main() {
    local sets=("$@") set missing=() package
    [[ ${#sets[@]} -gt 0 ]] || sets=(build lab)
    for set in "${sets[@]}"; do
        case $set in
            build) mapfile -t -O "${#missing[@]}" missing < <(missing_of "${BUILD[@]}") ;;
            lab) mapfile -t -O "${#missing[@]}" missing < <(missing_of "${LAB[@]}") ;;
            web) mapfile -t -O "${#missing[@]}" missing < <(missing_of "${WEB[@]}") ;;
            *) echo "prerequisites: no set named $set" >&2 && exit 2 ;;
        esac
    done
    if ! command -v cargo >/dev/null; then
        echo "prerequisites: no cargo; install Rust 1.91 or later (rustup, or Debian's packages where new enough)" >&2
        exit 1
    fi
    [[ ${#missing[@]} -gt 0 ]] || return 0
    if ! command -v apt-get >/dev/null || [[ $EUID -ne 0 ]]; then
        echo "prerequisites: missing, please install (Debian names): ${missing[*]}" >&2
        exit 1
    fi
    echo "prerequisites: installing ${missing[*]}"
    hold_daemons
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    for package in nginx-light prometheus; do
        [[ " ${missing[*]} " == *" $package "* ]] &&
            echo "prerequisites: $package is installed but not running; 'systemctl disable' keeps it from starting at boot"
    done
    return 0
}

main "$@"
