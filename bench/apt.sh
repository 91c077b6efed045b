# Sourced by what fetches Debian packages without installing any: an apt of our own, which knows the suites that
# it is told and a directory that it is given; the machine's apt learns nothing of it. The mirror is the one that
# the machine's apt uses.
#
# Whoever sources it defines `cannot WHY`, which ends the script.

readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
readonly SECONDS_MAX=240 # for each command that uses the network

# begin_fetching CACHE: makes `$work`, a directory that goes when the script does, and finds `$mirror`.
begin_fetching() {
    [[ $(uname -m) == x86_64 ]] || cannot "what would be fetched is for x86-64, and this is $(uname -m)"
    { command -v apt-get && command -v dpkg; } >/dev/null || cannot "no apt and dpkg to fetch it with"
    mkdir -p "$1"
    work=$(mktemp -d "$1/fetching-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    # Of the suite that this machine itself is installed from.
    # shellcheck disable=SC2016 # apt's own placeholder
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Label: Debian' | head -n 1)
    [[ -n $mirror ]] || cannot "this machine's apt names no mirror of Debian"
}

# private_apt NAME SUITE…: from now on, apt means these suites and a directory of our own. Archives come to
# `$archives`.
private_apt() {
    local root=$work/apt-$1 suite
    shift
    mkdir -p "$root"/{lists/partial,archives/partial,parts}
    for suite in "$@"; do
        echo "deb [signed-by=$KEYRING] $mirror $suite main" >>"$root/sources.list"
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

# nothing_installed: that apt believes so from now on, and fetches every library.
nothing_installed() {
    : >"${APT_CONFIG%/*}/status"
    echo "Dir::State::status \"${APT_CONFIG%/*}/status\";" >>"$APT_CONFIG"
}

# limited COMMAND…: for as long as a network may take.
limited() {
    timeout "$SECONDS_MAX" "$@" >>"$work/log" 2>&1 || {
        tail -n 5 "$work/log"
        cannot "$1 $2 failed"
    }
}

# unpack DIRECTORY: all that was fetched goes there, whole or not at all.
unpack() {
    local archive
    for archive in "$archives"/*.deb; do
        dpkg -x "$archive" "$work/unpacked"
    done
    mv "$work/unpacked" "$1"
}
