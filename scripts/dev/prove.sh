# Tests, benchmarks, fuzzers and lint. Sourced by ./dev; dev_VERB functions run inside a session (see session.sh).

# What differs from the branch this work grows from, uncommitted work included; asked of git before the root is entered,
# which has no git.
changed_files() {
    command -v git >/dev/null && git -C "$TOP" rev-parse --git-dir >/dev/null 2>&1 || return 0
    local name base=HEAD
    for name in origin/main main; do
        base=$(git -C "$TOP" merge-base HEAD "$name" 2>/dev/null) && break || base=HEAD
    done
    {
        git -C "$TOP" diff --name-only --diff-filter=d "$base" --
        git -C "$TOP" ls-files --others --exclude-standard
    } | sort -u
}

# Labels of the tests that need no privilege.
UNPRIVILEGED='^(unit|lint|sanitizer|fuzz)$'

has_root() { [[ $EUID -eq 0 && $(awk '{print $3}' /proc/self/uid_map) == 4294967295 ]]; }

run_ctest() {
    python3 "$TOP/scripts/dev/skipped.py" --test-dir "$TOP/build/release" --output-on-failure --parallel "$(nproc)" --no-tests=error "$@"
}

list_tests() {
    ctest --test-dir "$TOP/build/release" --show-only "$@" | sed -n 's/^ *Test *#[0-9]*: //p'
}

# Every test there is, in one ctest run, so that ctest's own summary is the last word.
dev_test() {
    local filter=(${1:+-R "$1"}) preset selected
    dev_build release
    selected=$(list_tests "${filter[@]}")
    for preset in asan tsan; do
        ! grep -q "^$preset\." <<<"$selected" || dev_build "$preset"
    done
    if has_root; then
        run_ctest "${filter[@]}"
    else
        test_without_root "${filter[@]}"
    fi
}

test_without_root() {
    local left
    left=$(list_tests --label-exclude "$UNPRIVILEGED" "$@")
    if [[ -n $left ]]; then
        echo "Left out, because they need root for namespaces, eBPF and devices ('./dev test' as root runs them):"
        sed 's/^/  /' <<<"$left"
        echo
    fi
    run_ctest --label-regex "$UNPRIVILEGED" "$@"
}

# Scenarios in QEMU only; their image and saved state come with them as a ctest fixture.
dev_vm_test() {
    dev_build release
    run_ctest --label-regex '^vm$' ${1:+-R "$1"}
}

dev_fuzz() {
    dev_build asan
    exec python3 "$TOP/scripts/dev/fuzz.py" --build "$TOP/build/asan" "$@"
}

dev_lint() {
    dev_build release >/dev/null || die "the tree must compile before clang-tidy can read it"
    exec python3 "$TOP/scripts/dev/lint.py" --build "$TOP/build/release" "$@"
}

# In a build folder of its own, because only the root with the peers can make it.
dev_bench() {
    # shellcheck disable=SC2046 # one word a package
    dpkg-query -W $(build_depends) >/dev/null 2>&1 ||
        die "the peers of the benchmarks are not in this root: run './dev bench' outside of './dev shell' and './dev exec'"
    dev_build bench benches
    PATH=$TOP/build/bench/bin:$PATH exec python3 "$TOP/scripts/dev/bench.py" --build "$TOP/build/bench" "$@"
}
