# Compiling and packaging. Sourced by ./dev; dev_VERB functions run inside a session (see session.sh).

# dev_build [PRESET [TARGET...]]. Reconfiguring is cheap and picks up new files, presets and packages.
dev_build() {
    local preset=${1:-release}
    [[ $# -eq 0 ]] || shift
    cmake --preset "$preset" -S "$TOP" --log-level=WARNING >/dev/null || die "cmake could not configure preset '$preset'"
    cmake --build "$TOP/build/$preset" ${1:+--target "$@"}
}

# Debian tools build in the tree they are given and write beside it, so they get a copy under build/.
dev_deb() {
    local out=$TOP/build/deb
    rm -rf "$out/src"
    mkdir -p "$out/src"
    tar -C "$TOP" --exclude=./build --exclude=./.git -cf - . | tar -C "$out/src" -xf -
    rm -f "$out"/*.{deb,changes,buildinfo}
    (
        cd "$out/src"
        export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$out/src CCACHE_NOHASHDIR=1
        export DEB_BUILD_OPTIONS="nocheck noautodbgsym parallel=$(nproc) ${DEB_BUILD_OPTIONS:-}"
        # The root was made from these build dependencies; build-essential, which goes without saying, is there in parts.
        dpkg-buildpackage --build=binary --no-check-builddeps --unsigned-source --unsigned-changes "$@"
    )
    rm -rf "$out/src"
    ls -l "$out"/*.deb
}

dev_clean() {
    local all=0
    [[ ${1:-} != --all ]] || all=1
    if [[ -e $TOP/build && ! -w $TOP/build ]] || ((all)); then
        need_root clean "$@"
    fi
    rm -rf "$TOP/build"
    ((all)) || return 0
    exec {lock}>>"$DEV_HOME/lock"
    flock -n "$lock" || die "another ./dev is making a root right now"
    rm -rf "$DEV_HOME"/root-* "$DEV_HOME/cache"
}
