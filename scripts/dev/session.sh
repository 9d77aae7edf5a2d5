# Sessions: where ./dev runs commands. Sourced by ./dev.
#
# A session is a private mount namespace with the Debian 13 root as `/` and its own /dev, /run and bpffs, so the
# machine's mount table and device nodes are never touched, and what a session mounted or pinned goes away with its
# last process. `./dev run` and `./dev shell` register theirs, so that `./dev exec` in a second terminal joins it.

# True in a process that enter started, and not in one that has since moved to another mount namespace.
session_is_here() { [[ ${ZSYNC_SESSION_NS:-} == "$(readlink /proc/self/ns/mnt)" ]]; }

# become_root VERB ARGS...: continue as root through sudo; false where that can't be done.
become_root() {
    [[ $EUID -ne 0 ]] || return 0
    command -v sudo >/dev/null || return 1
    [[ -t 0 ]] || sudo -n true 2>/dev/null || return 1
    local pass=() name
    for name in CI http_proxy https_proxy no_proxy ZSYNC_DEV_HOME ZSYNC_DEV_PEERS ZSYNC_SESSION; do
        [[ -z ${!name:-} ]] || pass+=("$name=${!name}")
    done
    # sudo can't pass a SIGKILL on, so its death must take what it started along.
    exec sudo -- env "${pass[@]}" setpriv --pdeathsig KILL -- "$TOP/dev" "$@"
}

need_root() {
    become_root "$@" || die "'./dev $1' needs root, and there is no sudo that lets you in: run it as root"
}

# start_session COMMAND...: become COMMAND in a new session.
start_session() {
    local flags=(--mount --propagation private)
    [[ $EUID -eq 0 ]] || flags+=(--user --map-root-user)
    if [[ $(root_dir) == / ]] && { [[ $EUID -ne 0 ]] || ! unshare "${flags[@]}" true 2>/dev/null; }; then
        # A container without the right to mount: plain commands still work on the machine itself.
        export ZSYNC_SESSION_NS ZSYNC_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/zsync-dev
        ZSYNC_SESSION_NS=$(readlink /proc/self/ns/mnt)
        export CCACHE_DIR=$ZSYNC_CACHE/ccache PATH=$TOP/build/release/bin:/usr/sbin:/sbin:$PATH
        exec "$@"
    fi
    [[ $EUID -ne 0 ]] || mkdir -p "$DEV_HOME/cache"
    ZSYNC_ROOT=$(root_dir) TOP=$TOP WORKDIR=$PWD DEV_HOME=$DEV_HOME \
        exec unshare "${flags[@]}" "$TOP/scripts/dev/enter" "$@"
}

# in_session VERB ARGS...: run a verb's own function inside a session, making one if this process isn't in one.
in_session() {
    local verb=$1
    if session_is_here; then
        shift
        cd "$TOP"
        "dev_${verb//-/_}" "$@"
        return
    fi
    export ZSYNC_CHANGED_FILES
    ZSYNC_CHANGED_FILES=$(changed_files)
    if ! become_root "$@"; then
        unprivileged "$@"
    else
        make_root
        [[ ! $verb =~ test$ ]] || make_guest_root
    fi
    start_session "$TOP/dev" "$@"
}

# Without root only what needs none can go on, and only where a root or the build dependencies are there already.
unprivileged() {
    [[ $1 =~ ^(build|test|fuzz|lint|bench)$ ]] || die "'./dev $1' needs root, and there is no sudo that lets you in"
    [[ -w $TOP && (! -e $TOP/build || -w $TOP/build) ]] || die "$TOP/build belongs to another user: './dev clean' as that user, or another checkout"
    root_ready || die "the Debian 13 root isn't there yet, and making it needs root or sudo: run './dev $([[ $1 == bench ]] && echo bench || echo build)' as root once"
    native || unshare --user --map-root-user --mount true 2>/dev/null ||
        die "this kernel lets only root make mount namespaces, so nothing can run in the Debian 13 root"
}

session_file() {
    local dir=${ZSYNC_SESSIONS:-$DEV_HOME/sessions}
    mkdir -p "$dir"
    printf '%s/%s-%s\n' "$dir" "$(printf %s "$TOP" | sha256sum | cut -c1-12)" "${1:-${ZSYNC_SESSION:-run}}"
}

# register_session NAME: hold NAME's file locked for as long as this process or what it becomes lives. Line 1 is the
# pid; a line "ready" follows once others may join. False where another process holds it.
register_session() {
    local file
    file=$(session_file "$1")
    exec {SESSION_LOCK}>>"$file"
    flock -w 1 "$SESSION_LOCK" || return 1
    echo $$ >"$file"
    export SESSION_LOCK SESSION_KIND=$1
}

# The pid of the live session to join, or nothing.
live_session() {
    local name file pid ready
    for name in "${ZSYNC_SESSION:-run}" shell; do
        file=$(session_file "$name")
        [[ -s $file ]] || continue
        ! flock -n -s "$file" true || continue
        { read -r pid && read -r ready; } <"$file" || continue
        [[ $ready != ready || ! -d /proc/$pid ]] || { echo "$pid" && return; }
    done
}

# join_live COMMAND...: become COMMAND in the live session; returns where there is none.
join_live() {
    local pid
    pid=$(live_session)
    [[ -n $pid ]] || return 0
    TOP=$TOP WORKDIR=$PWD DEV_HOME=$DEV_HOME exec nsenter --mount="/proc/$pid/ns/mnt" --net="/proc/$pid/ns/net" -- \
        "$TOP/scripts/dev/enter" --joined "$@"
}

dev_exec() {
    [[ $# -gt 0 ]] || die "usage: ./dev exec COMMAND..."
    if ! session_is_here; then
        need_root exec "$@"
        make_root
    fi
    join_live "$@"
    ! session_is_here || exec "$@"
    start_session "$@"
}

dev_shell() {
    need_root shell
    make_root
    join_live bash -i
    register_session shell || true
    start_session bash -i
}
