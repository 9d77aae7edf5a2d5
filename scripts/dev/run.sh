# `./dev run`: zsyncd at work on real traffic. Sourced by ./dev.

dev_run() {
    local pid
    if ! session_is_here; then
        need_root run "$@"
        make_root
    fi
    if ! register_session "${ZSYNC_SESSION:-run}"; then
        read -r pid <"$(session_file)" || true
        die "already running (pid ${pid:-unknown}), try: ./dev exec zsyncctl status"
    fi
    export SESSION_KIND=run
    # The build's own children must not hold the session's lock.
    (in_session build release zsyncd zsyncctl) {SESSION_LOCK}>&- || die "the build failed"
    export PYTHONDONTWRITEBYTECODE=1
    start_session python3 "$TOP/scripts/lab/run.py" "$@"
}
