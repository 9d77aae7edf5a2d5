# The Debian 13 system that everything is built, tested and run in. Sourced by ./dev.
#
# On Debian 13 that is the machine itself, with the Build-Depends installed. Elsewhere it is a directory made by
# mmdebstrap from the Build-Depends of debian/control and keyed by their hash, so that checkouts with the same
# dependencies share one. The peers that benchmarks compare with are Build-Depends of the profile pkg.zsync.bench: heavy,
# and needed by `./dev bench` alone, which works in a root of its own that has them as well (ZSYNC_DEV_PEERS=1 asks for it).

DEV_HOME=${ZSYNC_DEV_HOME:-/var/cache/zsync-dev}

die() {
    echo "dev: $*" >&2
    exit 1
}

# Build-Depends as bare package names, one a line.
build_depends() {
    awk '/^Build-Depends:/ {on = 1; sub(/^Build-Depends:/, "")} on && /^[^ ]/ {exit} on' "$TOP/debian/control" |
        tr ',' '\n' | { [[ -n ${ZSYNC_DEV_PEERS:-} ]] && cat || grep -v '<pkg\.zsync\.bench>'; } |
        sed -E 's/\([^)]*\)//g; s/<[^>]*>//g; s/^[[:space:]]+|[[:space:]]+$//g' |
        sed -E 's/^debhelper-compat$/debhelper/' | grep -v '^$'
}

# Inside a root, the machine itself is what ./dev works on, as on a Debian 13 host.
inside_root() { [[ -e /.complete ]]; }

native() {
    inside_root || { [[ -r /etc/os-release ]] && (. /etc/os-release && [[ ${ID:-} == debian && ${VERSION_ID:-0} -ge 13 ]]); }
}

made_root_dir() {
    printf '%s/root-%s\n' "$DEV_HOME" "$(build_depends | sha256sum | cut -c1-12)"
}

# Where commands run.
root_dir() {
    if native; then
        echo /
    else
        made_root_dir
    fi
}

root_ready() {
    if inside_root; then
        return 0
    elif native; then
        # shellcheck disable=SC2046 # one word a package
        dpkg-query -W $(build_depends) >/dev/null 2>&1
    else
        [[ -e $(root_dir)/.complete ]]
    fi
}

apt_install() {
    apt-get update -q </dev/null >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" </dev/null >&2
}

# with_home_locked FUNCTION: one ./dev at a time makes a root.
with_home_locked() {
    local lock
    mkdir -p "$DEV_HOME"
    exec {lock}>>"$DEV_HOME/lock"
    flock "$lock"
    "$@"
    exec {lock}>&-
}

install_build_depends() {
    root_ready && return 0
    echo "dev: installing the build dependencies${ZSYNC_DEV_PEERS:+ and the peers of the benchmarks}" >&2
    # shellcheck disable=SC2046 # one word a package
    apt_install $(build_depends)
}

bootstrap() {
    local root
    root=$(made_root_dir)
    [[ ! -e $root/.complete ]] || return 0
    command -v mmdebstrap >/dev/null || apt_install mmdebstrap
    echo "dev: making the Debian 13 root in $root${ZSYNC_DEV_PEERS:+, with the peers of the benchmarks} (some minutes, once)" >&2
    # An interrupted try leaves only a .partial, which is never used.
    rm -rf "$root" "$root.partial"
    unshare --mount --propagation private mmdebstrap --mode=root --variant=apt \
        --include="$(build_depends | paste -sd,)" \
        --aptopt='Acquire::Retries "3"' trixie "$root.partial" </dev/null >&2
    touch "$root.partial/.complete"
    mv "$root.partial" "$root"
}

make_root() {
    root_ready && return 0
    if native; then
        with_home_locked install_build_depends
    else
        with_home_locked bootstrap
    fi
}

# The root that VM guests are made from: the one that commands run in, except on Debian 13, where that is the whole
# machine with all that a person has on it.
make_guest_root() {
    native && ! inside_root || return 0
    [[ -e $(made_root_dir)/.complete ]] || with_home_locked bootstrap
    export ZSYNC_VM_ROOT
    ZSYNC_VM_ROOT=$(made_root_dir)
}
