#!/usr/bin/env bash
# Makes the guest's root file system: busybox, the program, and what the scenes need.
#
#     image.sh CACHE PROGRAM OUT
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Drivers of both kinds of card, and the kernel's own generator and troublemaker. What they need in turn is
# found by what each says of itself.
readonly MODULES=(virtio_net igb pktgen sch_netem)
readonly TOOLS=(ip ethtool tc curl)

# module_path NAME: names are written with - or _ at will.
module_path() {
    find "$modules" -name "${1//[-_]/[-_]}.ko*" -print -quit
}

# add_module NAME: after those that it depends on. `order` is what insmod is to follow. Some kernels have
# built in what others load: what is not there is left out.
add_module() {
    local path depends name file
    path=$(module_path "$1")
    file=$root/modules/${1//-/_}.ko
    [[ -n $path && ! -e $file ]] || return 0
    case $path in
        *.xz) xz -dc "$path" ;;
        *.zst) zstd -qdc "$path" ;;
        *.gz) gzip -dc "$path" ;;
        *) cat "$path" ;;
    esac >"$file"
    depends=$(tr '\0' '\n' <"$file" | sed -n 's/^depends=//p' | head -n 1)
    for name in ${depends//,/ }; do
        add_module "$name"
    done
    basename "$file" >>"$root/modules/order"
}

# add_program PATH NAME: with the libraries it is linked with, where its loader will look for them.
add_program() {
    local library
    cp -L "$1" "$root/usr/bin/$2"
    # A library that the loader does not find is written without a path; there is none here.
    for library in $(ldd "$1" | grep -o '/[^ ]*'); do
        [[ $library == *: || -e $root$library ]] || { mkdir -p "$root${library%/*}" && cp -L "$library" "$root$library"; }
    done
}

main() {
    local cache=${1:?usage: image.sh CACHE PROGRAM OUT} program=${2:?which program?} out=${3:?to which file?} name
    modules=$(find "$cache/kernel" -type d -path '*/modules/*' -name kernel -print -quit)
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    mkdir -p "$root"/{bin,dev,proc,sys,run,tmp,modules,guest,pktgen,usr/bin}
    cp "$(find "$cache/tools" -path '*/bin/busybox' -type f -print -quit)" "$root/bin/busybox"
    for name in "${TOOLS[@]}"; do
        add_program "$(PATH=$PATH:/usr/sbin:/sbin command -v "$name")" "$name"
    done
    add_program "$program" tollgate
    strip "$root/usr/bin/tollgate" 2>/dev/null || true
    for name in "${MODULES[@]}"; do
        add_module "$name"
    done
    cp "$here"/{scenes.sh,rules.lua,kernel.toml,user.toml,wire.toml} "$root/guest"
    cp "$here"/../pktgen/*.sh "$root/pktgen"
    install -m 755 "$here/init" "$root/init"
    (cd "$root" && find . | "$root/bin/busybox" cpio --quiet -o -H newc) | gzip -1 >"$out"
}

main "$@"
