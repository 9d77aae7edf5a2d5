"""Sends of 64 KiB, zero copy against copy: the sender's CPU. Three routes:

- TCP over loopback, and TCP over a veth pair into a namespace: Linux copies on delivery to a local socket, whatever was
  asked for, so raw liburing gains nothing there either;
- UDP over the veth pair, dropped on arrival before delivery: the packet is freed as a network card frees what it has sent,
  which is where zero copy pays. (65,000 bytes: what fits into one datagram.)

`send_zsync zc|copy tcp|udp ADDRESS PORT COUNT` prints the CPU ns of a send and how many were copied although zero copy was
asked for. With --peers: raw liburing alone.
"""

import contextlib
import os
import subprocess
import sys

import measure

OURS, PEER = "send_zsync", "send_uring"
SENDS, PAIRS = 4_000, 9
LEAST = 1.3
PORT = 7001
NEAR, FAR, MTU = "10.199.0.1", "10.199.0.2", 65535


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


def inside(namespace: str) -> list[str]:
    """The words that run a command there."""
    return ["ip", "netns", "exec", namespace]


@contextlib.contextmanager
def veth():
    """Two namespaces with a veth pair between them, each interface named as its namespace; both are gone afterwards."""
    names = near, far = f"zb{os.getpid()}a", f"zb{os.getpid()}b"
    try:
        for name in names:
            ip(f"netns add {name}")
        ip(f"-n {near} link add {near} type veth peer name {far} netns {far}")
        for name, address in zip(names, (NEAR, FAR)):
            ip(f"-n {name} address add {address}/30 dev {name}")
            ip(f"-n {name} link set {name} mtu {MTU} up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


def drop_udp(namespace: str) -> None:
    hook = f"type filter hook ingress device {namespace} priority 0"
    rules = f"add table netdev t; add chain netdev t c {{ {hook}; }}; add rule netdev t c ip protocol udp drop"
    subprocess.run([*inside(namespace), "nft", rules], check=True)


@contextlib.contextmanager
def sink(into: list[str]):
    child = measure.start([*into, measure.program("sink"), str(PORT)], core=measure.LOAD_CORE, stdout=subprocess.PIPE, text=True)
    try:
        measure.wait_ready(child, "sink")
        yield
    finally:
        child.kill()
        child.wait()


def sample(name: str, how: str, protocol: str, address: str, wrap: list[str]) -> tuple[float, float]:
    """CPU ns a send, and the share that was copied although zero copy was asked for."""
    words = [*wrap, measure.program(name), how, protocol, address, str(PORT), str(SENDS)]
    ns, copied = measure.output(words, core=measure.SERVER_CORE).split()
    return float(ns), int(copied) / SENDS


def gain(name: str, route: str, *target) -> tuple[float, float]:
    """The median of copy's CPU over zero copy's, and the share that was copied all the same."""
    pairs = [(sample(name, "copy", *target), sample(name, "zc", *target)) for _ in range(PAIRS)]
    copy, zero = (measure.median(side[0] for side in sides) for sides in zip(*pairs))
    ratio = measure.median(c[0] / z[0] for c, z in pairs)
    copied = measure.median(z[1] for _, z in pairs)
    measure.say(f"{route}, {name}: copy {copy:.0f} ns, zero copy {zero:.0f} ns, {ratio:.2f}x; {copied:.0%} copied all the same")
    return ratio, copied


def measure_route(route: str, *target) -> None:
    raw, _ = gain(PEER, route, *target)
    if "--peers" in sys.argv:
        return
    ours, copied = gain(OURS, route, *target)
    goal, reached = (f">= {LEAST}x", ours >= LEAST) if copied < 0.5 else ("route copies", None)
    measure.row(f"64 KiB sends, {route}: CPU of copy over zero copy, peer raw liburing", ours, raw, "x", goal, reached)


def main() -> None:
    with sink([]):
        measure_route("TCP, loopback", "tcp", "127.0.0.1", [])
    with veth() as (near, far):
        with sink(inside(far)):
            measure_route("TCP, veth to a local socket", "tcp", FAR, inside(near))
        # The far side's address resolution goes on: only UDP is dropped.
        drop_udp(far)
        measure_route("UDP, veth, freed as sent", "udp", FAR, inside(near))


if __name__ == "__main__":
    main()
