"""The lab's network: a veth pair between two network namespaces of its own, so that nothing of it shows on the machine.

The near end, lab0, is where zsyncd filters; the far end sends. The far end has two kinds of addresses: a neighbour's, and
ones that examples/lab.rules denies.
"""

import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000
NEAR = "lab0"
FAR = "lab1"
FAR_NAMESPACE = "zsync-far"
NEAR_V4, NEAR_V6 = "10.77.0.1", "2001:db8:77::1"
FAR_V4, FAR_V6 = "10.77.0.2", "2001:db8:77::2"
DENIED_V4 = ("198.51.100.66", "203.0.113.7")
DENIED_V6 = "2001:db8:bad::66"


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def leave_for_own_namespace() -> None:
    """Moves this process into a network namespace of its own, with a /sys that shows it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET): " + os.strerror(ctypes.get_errno()))
    cgroup = "/run/zsync-dev/cgroup"
    os.mkdir(cgroup)
    mount("--rbind", "/sys/fs/cgroup", cgroup)
    mount("-t", "sysfs", "sysfs", "/sys")
    mount("--rbind", cgroup, "/sys/fs/cgroup")
    mount("-t", "bpf", "bpf", "/sys/fs/bpf")


def make() -> None:
    ip("link", "set", "lo", "up")
    ip("netns", "add", FAR_NAMESPACE)
    ip("link", "add", NEAR, "type", "veth", "peer", "name", FAR, "netns", FAR_NAMESPACE)
    far = ("-n", FAR_NAMESPACE)
    ip("addr", "add", f"{NEAR_V4}/24", "dev", NEAR)
    ip("addr", "add", f"{NEAR_V6}/64", "dev", NEAR, "nodad")
    ip("link", "set", NEAR, "up")
    ip(*far, "link", "set", "lo", "up")
    ip(*far, "addr", "add", f"{FAR_V4}/24", "dev", FAR)
    ip(*far, "addr", "add", f"{FAR_V6}/64", "dev", FAR, "nodad")
    for address in DENIED_V4:
        ip(*far, "addr", "add", f"{address}/32", "dev", FAR)
    ip(*far, "addr", "add", f"{DENIED_V6}/128", "dev", FAR, "nodad")
    ip(*far, "link", "set", FAR, "up")
    ip("route", "add", "198.51.100.0/24", "via", FAR_V4)
    ip("route", "add", "203.0.113.0/24", "via", FAR_V4)
    ip("-6", "route", "add", "2001:db8:bad::/48", "via", FAR_V6)


def remove() -> None:
    """What a process that joined this session would otherwise keep alive."""
    subprocess.run(["ip", "link", "del", NEAR], stderr=subprocess.DEVNULL)
    subprocess.run(["ip", "netns", "del", FAR_NAMESPACE], stderr=subprocess.DEVNULL)
