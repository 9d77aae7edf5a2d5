# For a scenario's `run`, which names this file in its `needs`: say what was checked, and end at what doesn't hold.

check() {
    local words=$1
    shift
    "$@" || { echo "FAILED: $words" && exit 1; }
    echo "ok: $words"
}

check_fails() {
    local words=$1
    shift
    ! "$@" || { echo "FAILED: $words" && exit 1; }
    echo "ok: $words"
}

# within SECONDS COMMAND...: true as soon as the command is.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.2
    done
}

# A veth pair: near0 here with 10.99.0.1, far0 in the namespace `far` with 10.99.0.2.
make_lab() {
    ip netns add far
    ip link add near0 type veth peer name far0 netns far
    ip addr add 10.99.0.1/24 dev near0
    ip link set near0 up
    ip -n far addr add 10.99.0.2/24 dev far0
    ip -n far link set far0 up
}

# later_build PACKAGE VERSION: the package as a later build of it, in the working directory of the guest; prints its name.
later_build() {
    local tree=/tmp/later-$2
    dpkg-deb --raw-extract "$1" "$tree"
    sed -i "s/^Version:.*/Version: $2/" "$tree/DEBIAN/control"
    dpkg-deb --root-owner-group -Znone --build "$tree" "/tmp/zsync_$2.deb" >/dev/null
    rm -rf "$tree"
    echo "/tmp/zsync_$2.deb"
}
