# The Debian 13 root that everything is built, tested and run in. Sourced by ./dev.
#
# A root is a directory made by mmdebstrap from the Build-Depends of debian/control and keyed by their hash, so that
# every checkout with the same dependencies shares one. Commands run in it through a private mount namespace: the
# machine's own mounts are never changed, and what was mounted goes away with the last process.

ROOT_HOME=${ZSYNC_DEV_HOME:-/var/cache/zsync-dev}

# Build-Depends as bare package names, one a line.
build_depends() {
    awk '/^Build-Depends:/ {on = 1; sub(/^Build-Depends:/, "")} on && /^[^ ]/ {exit} on' "$TOP/debian/control" |
        tr ',' '\n' | sed -E 's/\([^)]*\)//g; s/<[^>]*>//g; s/^[[:space:]]+|[[:space:]]+$//g' |
        sed -E 's/^debhelper-compat$/debhelper/' | grep -v '^$'
}

root_dir() {
    printf '%s/root-%s\n' "$ROOT_HOME" "$(build_depends | sha256sum | cut -c1-12)"
}

on_debian_13() {
    [[ -r /etc/os-release ]] && (. /etc/os-release && [[ $ID == debian && ${VERSION_ID:-0} -ge 13 ]])
}

make_root() {
    local root
    root=$(root_dir)
    [[ -e $root/.complete ]] && return 0
    mkdir -p "$ROOT_HOME"
    exec {lock}>"$ROOT_HOME/lock"
    flock "$lock"
    if [[ ! -e $root/.complete ]]; then
        command -v mmdebstrap >/dev/null || {
            apt-get update -q </dev/null
            apt-get install -y -q --no-install-recommends mmdebstrap </dev/null
        }
        echo "dev: making the Debian 13 root in $root (about two minutes, once)" >&2
        rm -rf "$root" "$root.partial"
        unshare --mount --propagation private mmdebstrap --mode=root --variant=apt \
            --include="$(build_depends | paste -sd,)" \
            --aptopt='Acquire::Retries "3"' trixie "$root.partial" </dev/null
        touch "$root.partial/.complete"
        mv "$root.partial" "$root"
    fi
    exec {lock}>&-
}

# enter_root COMMAND...: run a command in the root, in the caller's working directory, programs just built first in PATH.
enter_root() {
    make_root
    local root
    root=$(root_dir)
    ZSYNC_ROOT=$root TOP=$TOP WORKDIR=$PWD BUILD_DIR=$BUILD_DIR \
        unshare --mount --propagation private "$TOP/scripts/dev/enter" "$@"
}
