"""What a shape does to iperf3's flows and to a probe beside them, against tc tbf at the same rate.

Rates are compared on the wire, over a window in which nothing begins or ends: a frame of 1,514 bytes carries 1,448 of TCP.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

from lab import Lab, command, wait_until

OUT = pathlib.Path(sys.argv[1])
RATE = 20_000_000
WIRE_PER_BYTE = 1514 / 1448
WINDOW = 3.0
GOLD = 12_000_000
BULK = 2_000_000
BULK_MAX = 8_000_000
OTHER_RATE = 16_000_000
HIERARCHY = f"""
shape {RATE}bit {{
    class gold guarantee {GOLD}bit
    class bulk guarantee {BULK}bit max {BULK_MAX}bit
    class probe guarantee 1mbit
}}
pass out class probe proto udp dport 7007
pass out class gold proto tcp dport 5201
pass out class bulk proto tcp dport 5202
pass out class bulk proto udp dport 5204
# What iperf3 says of the floods while they last.
pass out class probe proto tcp dport 5203-5204
"""
WITHIN = 0.02
PROBE_PORT = 7007
PROBE_EVERY_S = 0.005

figures: dict = {}


def check(words: str, holds: bool) -> None:
    print(("ok: " if holds else "FAILED: ") + words, flush=True)
    if not holds:
        failed.append(words)


failed: list[str] = []


class Flow:
    """iperf3 from near to far, with a server for it alone, until `end`."""

    def __init__(self, lab: Lab, port: int, *options: str):
        self.server = lab.far.start("iperf3", "--server", "--one-off", "--port", str(port), stdout=subprocess.DEVNULL)
        while lab.far.run("ss", "-Hlt", "sport", "=", f":{port}").stdout == "":
            if self.server.poll() is not None:
                raise RuntimeError(f"iperf3's server on port {port} ended with {self.server.returncode}")
            time.sleep(0.05)
        words = ["iperf3", "--client", lab.far.v4, "--port", str(port), "--time", "0", "--interval", "0"]
        self.child = lab.near.start(*words, *options, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self) -> None:
        if self.child.poll() is not None:
            raise RuntimeError(f"iperf3 ended by itself: {self.child.stdout.read()}")
        for one in (self.child, self.server):
            one.kill()
            one.wait()


class Probe:
    """Datagrams at a steady pace from near to far; how long each took, by one clock."""

    def __init__(self, lab: Lab):
        self.far = lab.far.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.far.bind((lab.far.v4, PROBE_PORT))
        self.far.settimeout(0.1)
        self.near = lab.near.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.to = (lab.far.v4, PROBE_PORT)
        self.delays: list[float] = []
        self.done = threading.Event()
        self.threads = [threading.Thread(target=self.send), threading.Thread(target=self.receive)]
        for thread in self.threads:
            thread.start()

    def send(self) -> None:
        while not self.done.wait(PROBE_EVERY_S):
            try:
                self.near.sendto(time.monotonic_ns().to_bytes(8, "big"), self.to)
            except OSError:
                pass  # dropped where it is sent: no delay of one that arrives

    def receive(self) -> None:
        while not self.done.is_set():
            try:
                sent = int.from_bytes(self.far.recv(64), "big")
            except TimeoutError:
                continue
            self.delays.append((time.monotonic_ns() - sent) / 1e6)

    def p99_ms(self) -> float:
        self.done.set()
        for thread in self.threads:
            thread.join()
        self.near.close()
        self.far.close()
        return statistics.quantiles(self.delays, n=100)[98]


def near_is(what: str, rate: float, wanted: float) -> None:
    check(f"{what}: {rate / 1e6:.2f} Mbit/s, wanted {wanted / 1e6:.2f}", abs(rate / wanted - 1) <= WITHIN)


def loaded(lab: Lab, flows: int, name: str, merged: bool = True) -> tuple[float, float]:
    """Throughput and the probe's p99 beside so many TCP flows."""
    flow = Flow(lab, 5201, "--parallel", str(flows))
    time.sleep(1.5)
    # What stands for many packets is one to the link's counters, with one header; TCP's own count what it carries.
    probe, received = Probe(lab), Meter(received_by_tcp if merged else received_bytes, lab)
    time.sleep(WINDOW)
    p99, rate = probe.p99_ms(), received.rates()["all"]
    flow.end()
    figures[name] = {"mbit": round(rate / 1e6, 3), "p99_ms": round(p99, 2)}
    print(name, figures[name], flush=True)
    return rate, p99


def flood(lab: Lab, port: int, rate: int) -> Flow:
    return Flow(lab, port, "--udp", "--length", "1000", "--bitrate", str(rate))


def sent_bytes(lab: Lab) -> dict[str, float]:
    return {one["name"]: one["bytes"] for one in lab.json("packet", "classes", lab.near.ifname)["classes"]}


def received_bytes(lab: Lab) -> dict[str, float]:
    return {"all": lab.far.link()["stats64"]["rx"]["bytes"]}


def received_by_tcp(lab: Lab) -> dict[str, float]:
    """What the flow's connections have carried, as bytes on the wire."""
    sockets = lab.far.run("ss", "-Hti", "sport", "=", ":5201").stdout
    return {"all": WIRE_PER_BYTE * sum(map(int, re.findall(r"bytes_received:(\d+)", sockets)))}


class Meter:
    """Bits a second of counters between its making and `rates`."""

    def __init__(self, read, lab: Lab):
        self.read = read
        self.lab = lab
        self.began = self.take()

    def take(self) -> tuple[float, dict[str, float]]:
        # A program that reads them takes its time; half of it has gone by then.
        began = time.monotonic()
        counts = self.read(self.lab)
        return (began + time.monotonic()) / 2, counts

    def rates(self) -> dict[str, float]:
        (began, before), (ended, after) = self.began, self.take()
        return {name: 8 * (after[name] - before[name]) / (ended - began) for name in after}


def root_qdisc(lab: Lab) -> str:
    return lab.near.run("tc", "qdisc", "show", "dev", lab.near.ifname, "root").stdout.strip()


def beside_tbf(lab: Lab) -> float:
    """What the probe waits behind eight flows in tc tbf, which holds as much as a horizon does."""
    shaper = f"tbf rate {RATE}bit burst 16kb latency 100ms"
    lab.near.run("tc", "qdisc", "add", "dev", lab.near.ifname, "root", *shaper.split())
    _, p99 = loaded(lab, 8, "tbf, 8 flows")
    lab.near.run("tc", "qdisc", "del", "dev", lab.near.ifname, "root")
    return p99


def one_class(lab: Lab, tbf_p99: float) -> None:
    lab.load(f"shape {RATE}bit\n")
    check(f"a shape brings fq: {root_qdisc(lab)[:40]}", root_qdisc(lab).startswith("qdisc fq 7a73:"))
    for flows in (1, 8):
        rate, p99 = loaded(lab, flows, f"one class, {flows} flows")
        near_is(f"one class with {flows} flows", rate, RATE)
        # A flow that sends little does not stand behind what others have queued, though it is of their class.
        check(f"the probe's p99 in their class is {p99:.2f} ms, below tbf's {tbf_p99:.2f}", p99 < tbf_p99)


def hierarchy(lab: Lab, tbf_p99: float) -> None:
    lab.load(HIERARCHY)
    rate, p99 = loaded(lab, 8, "hierarchy, 8 flows of another class", merged=False)
    near_is("a class that borrows what others leave", rate, RATE)
    check(f"the probe's p99 is {p99:.2f} ms, below tbf's {tbf_p99:.2f}", p99 < tbf_p99)

    flow = Flow(lab, 5202)
    time.sleep(1)
    received = Meter(received_bytes, lab)
    time.sleep(WINDOW)
    rate = received.rates()["all"]
    flow.end()
    figures["bulk alone"] = {"mbit": round(rate / 1e6, 3)}
    near_is("a class alone has its maximum", rate, BULK_MAX)

    # So much that each class has something to send at all times; what arrived is counted over one window.
    flows = [
        flood(lab, 5203, 2 * RATE),
        Flow(lab, 5201, "--parallel", "4"),
        flood(lab, 5204, 2 * BULK_MAX),
    ]
    time.sleep(1.5)
    sent, received = Meter(sent_bytes, lab), Meter(received_bytes, lab)
    time.sleep(WINDOW)
    rates = sent.rates()
    whole = received.rates()["all"]
    for flow in flows:
        flow.end()
    figures["all at once"] = {name: round(rate / 1e6, 3) for name, rate in (rates | {"received": whole}).items()}
    print("all at once", figures["all at once"], flush=True)
    for name, guarantee in (("gold", GOLD), ("bulk", BULK)):
        rate = rates[name]
        check(f"{name} has its guarantee beside a flood: {rate / 1e6:.2f}", rate >= guarantee * (1 - WITHIN))
    check(f"bulk stays below its maximum: {rates['bulk'] / 1e6:.2f}", rates["bulk"] <= BULK_MAX * (1 + WITHIN))
    near_is("all classes together", whole, RATE)
    dropped = {one["name"]: one["dropped"] for one in lab.json("packet", "classes", lab.near.ifname)["classes"]}
    check(f"the flood waited too long, the probe never: {dropped}", dropped["default"] > 0 and dropped["probe"] == 0)


def other_rates(lab: Lab) -> None:
    """A class gets another maximum while it sends, and keeps it over zsyncd's end."""
    flow = Flow(lab, 5202)
    time.sleep(1.5)
    lab.ctl("packet", "classes", lab.near.ifname, "set", "bulk", "max", "4mbit")
    lab.stop_daemon(signal.SIGKILL)
    lab.start_daemon()
    received = Meter(received_bytes, lab)
    time.sleep(WINDOW)
    rate = received.rates()["all"]
    figures["another maximum"] = {"mbit": round(rate / 1e6, 3)}
    near_is("a class with another maximum", rate, 4_000_000)
    lab.ctl("packet", "classes", lab.near.ifname, "set", "bulk", "max", f"{BULK_MAX}bit")
    flow.end()


def another_whole(lab: Lab) -> None:
    """The shape gets another rate while flows of the class that borrows send."""
    flow = Flow(lab, 5201, "--parallel", "4")
    time.sleep(1.5)
    lab.ctl("packet", "classes", lab.near.ifname, "shape", f"{OTHER_RATE}bit")
    time.sleep(1)
    received = Meter(received_bytes, lab)
    time.sleep(WINDOW)
    rate = received.rates()["all"]
    figures["another whole"] = {"mbit": round(rate / 1e6, 3)}
    near_is("the shape with another rate", rate, OTHER_RATE)
    flow.end()


def made_anew(lab: Lab) -> None:
    lab.far.ip("link", "del", lab.far.ifname)
    wait_until("absent", lambda: lab.property("State") == "absent")
    lab.make_link()


def moved_and_back(lab: Lab) -> None:
    """Which takes a device's qdiscs and addresses."""
    other = f"{lab.near.namespace}m"
    command("ip", "netns", "add", other)
    try:
        lab.near.ip("link", "set", lab.near.ifname, "netns", other)
        wait_until("moved", lambda: lab.property("State") == "moved")
        command("ip", "-n", other, "link", "set", lab.near.ifname, "netns", lab.near.namespace)
    finally:
        command("ip", "netns", "del", other)
    lab.near.ip("addr", "add", f"{lab.near.v4}/24", "dev", lab.near.ifname)
    lab.near.ip("link", "set", lab.near.ifname, "up")
    lab.near.ip("neigh", "replace", lab.far.v4, "lladdr", lab.far.mac, "nud", "permanent", "dev", lab.near.ifname)


def comes_back(lab: Lab) -> None:
    """A device that went away has lost its qdisc, and sends as the shape says once it is back."""
    lab.load(f"shape {RATE}bit\n")
    for away_and_back in (made_anew, moved_and_back):
        name = away_and_back.__name__
        away_and_back(lab)
        wait_until("attached", lambda: lab.property("State") == "attached")
        found, reason = root_qdisc(lab), lab.stats()["state_reason"]
        check(f"{name}, it has fq again: {found[:40]} {reason}", found.startswith("qdisc fq 7a73:") and reason == "")
        rate, _ = loaded(lab, 1, f"one class, {name}", merged=False)
        near_is(f"{name}, one class", rate, RATE)
    lab.load("pass\n")
    check(f"without a shape, without fq: {root_qdisc(lab)}", "fq" not in root_qdisc(lab))
    made_anew(lab)
    wait_until("attached", lambda: lab.property("State") == "attached")
    check(f"and made anew it gets none: {root_qdisc(lab)}", "fq" not in root_qdisc(lab))


class Tap:
    """A device of the near side with two sending queues, which this process reads."""

    NAME, OWN, OTHER, RATE = "queues0", "10.99.0.1", "10.99.0.2", 8_000_000

    def __init__(self, lab: Lab):
        tunsetiff, tap, no_pi, multi_queue = 0x400454CA, 0x0002, 0x1000, 0x0100
        self.lab = lab
        self.queues = []
        with lab.near.entered():
            for _ in range(2):
                queue = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
                fcntl.ioctl(queue, tunsetiff, struct.pack("16sH22x", self.NAME.encode(), tap | no_pi | multi_queue))
                self.queues.append(queue)
        lab.near.ip("addr", "add", f"{self.OWN}/24", "dev", self.NAME)
        lab.near.ip("link", "set", self.NAME, "up")
        lab.near.ip("neigh", "replace", self.OTHER, "lladdr", "02:00:00:00:00:02", "nud", "permanent", "dev", self.NAME)

    def qdiscs(self) -> list[dict]:
        return json.loads(self.lab.near.run("tc", "-j", "qdisc", "show", "dev", self.NAME).stdout)

    def received(self, seconds: float) -> list[int]:
        """Bytes that each queue sends within that time, beside a flood of many flows."""
        senders = [self.lab.near.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(16)]
        counts = [0, 0]
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for sender in senders:
                sender.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    sender.sendto(bytes(1000), (self.OTHER, 9))
            for i, queue in enumerate(self.queues):
                with contextlib.suppress(BlockingIOError):
                    while True:
                        counts[i] += len(os.read(queue, 2048))
        for sender in senders:
            sender.close()
        return counts


def below_mq(lab: Lab) -> None:
    """A device with several sending queues has a qdisc for each below mq; the shape's clocks are one for all."""
    tap = Tap(lab)
    before = tap.qdiscs()
    check(f"the device's default is mq: {before[0]}", before[0]["kind"] == "mq")
    lab.ctl("packet", "attach", tap.NAME)
    (lab.folder / "queues.rules").write_text(f"shape {tap.RATE}bit\n")
    lab.ctl("packet", "load", tap.NAME, "queues.rules", cwd=lab.folder)
    found = tap.qdiscs()
    root = [one for one in found if one.get("root")]
    check(f"mq is the root: {root}", [(one["kind"], one["handle"]) for one in root] == [("mq", "7a73:")])
    leaves = {one["kind"] for one in found if not one.get("root")}
    queues = lab.near.link(tap.NAME)["num_tx_queues"]
    check(f"with fq for each of its {queues} queues: {leaves}", leaves == {"fq"} and len(found) == queues + 1)
    tap.received(1)
    began = time.monotonic()
    counts = tap.received(WINDOW)
    rate = 8 * sum(counts) / (time.monotonic() - began)
    figures["mq"] = {"mbit": round(rate / 1e6, 3), "queues": counts}
    print("mq", figures["mq"], flush=True)
    near_is("two queues together", rate, tap.RATE)
    check(f"both queues carry some of it: {counts}", min(counts) > sum(counts) / 10)
    lab.ctl("packet", "detach", tap.NAME)
    check("without it, as before", tap.qdiscs() == before)
    for queue in tap.queues:
        os.close(queue)


def main() -> None:
    with Lab() as lab:
        # Packets that stand for many are part of the proof.
        lab.near.run("ethtool", "-K", lab.near.ifname, "tx", "on", "tso", "on", "gso", "on")
        before = root_qdisc(lab)
        tbf_p99 = beside_tbf(lab)
        lab.attach()
        one_class(lab, tbf_p99)
        # From here on a packet on the link is one on the wire, so that the link's counters count the wire's bytes.
        lab.near.run("ethtool", "-K", lab.near.ifname, "tso", "off", "gso", "off")
        hierarchy(lab, tbf_p99)
        other_rates(lab)
        another_whole(lab)
        comes_back(lab)
        lab.ctl("packet", "detach", lab.near.ifname)
        check(f"without it, as before: {root_qdisc(lab)}", root_qdisc(lab) == before)
        below_mq(lab)


main()
(OUT / "figures.json").write_text(json.dumps(figures, indent=1))
sys.exit(1 if failed else 0)
