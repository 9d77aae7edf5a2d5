"""Interfaces that go away, come back, get another name or another namespace: handled, and said on the bus."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import struct

import pytest
from frames import IP, UDP, Frames, IPv6, Raw
from lab import command, start, wait_until
from scapy.layers.dns import DNS, DNSQR
from traffic import RULES


@pytest.fixture
def signals(lab):
    """Lines of JSON, one for each signal of zsyncd's objects from here on."""
    path = lab.folder / "signals"
    with open(path, "wb") as out:
        monitor = start(
            *("stdbuf", "-oL", "busctl", f"--address={lab.bus_address}", "--json=short", "monitor", "org.zsync1"),
            stdout=out,
            stderr=out,
        )

        def listens() -> bool:
            assert monitor.poll() is None, path.read_text()
            lab.ctl("jobs")  # something for it to see
            return b"GetAll" in path.read_bytes()

        wait_until("busctl monitor", listens)

        def seen(member: str) -> list[dict]:
            lines = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
            return [line for line in lines if line.get("member") == member]

        yield seen
        monitor.terminate()
        monitor.wait()


def state(lab) -> str:
    return lab.property("State")


def changed(signals, name: str) -> list:
    """The values that a property took, as told by PropertiesChanged."""
    found = []
    for line in signals("PropertiesChanged"):
        interface, properties = line["payload"]["data"][:2]
        if interface == "org.zsync1.PacketInterface" and name in properties:
            found.append(properties[name]["data"])
    return found


def objects(signals, member: str) -> list[str]:
    """The interfaces' objects that InterfacesAdded or InterfacesRemoved told of."""
    paths = [line["payload"]["data"][0] for line in signals(member)]
    return [path for path in paths if path.startswith("/org/zsync1/packet/")]


def test_deleted_interface_is_absent_and_filtered_again_when_it_is_back(lab, signals):
    lab.filter(RULES)
    old = lab.property("Ifindex")
    lab.far.ip("link", "del", lab.far.ifname)
    wait_until("absent", lambda: state(lab) == "absent")
    stats = lab.stats()
    assert stats["mode"] == "" and stats["state_reason"]
    assert lab.near.ifname in lab.ctl("status").out
    lab.make_link()
    wait_until("attached again", lambda: state(lab) == "attached")
    assert lab.property("Ifindex") != old or lab.near.link()["ifindex"] == old
    lab.far.send(*[Frames(lab).udp(7002)] * 5)
    assert lab.packets() == [5]
    wait_until("signals", lambda: changed(signals, "State")[-1:] == ["attached"])
    assert changed(signals, "State") == ["absent", "attached"]


def test_rules_loaded_while_an_interface_is_absent_hold_when_it_is_back(lab):
    lab.filter(RULES)
    lab.far.ip("link", "del", lab.far.ifname)
    wait_until("absent", lambda: state(lab) == "absent")
    lab.load("drop proto udp dport 9\n")
    lab.make_link()
    wait_until("attached again", lambda: state(lab) == "attached")
    lab.far.send(Frames(lab).udp(9))
    assert [(rule["text"], rule["packets"]) for rule in lab.rules()] == [("drop proto udp dport 9", 1)]


def test_renamed_interface_keeps_its_filter_under_its_new_name(lab, signals):
    lab.filter(RULES)
    old, new = lab.near.ifname, f"{lab.near.ifname}r"
    lab.far.send(*[Frames(lab).udp(7002)] * 3)
    lab.near.ip("link", "set", old, "name", new)
    lab.near.ifname = new
    wait_until("the new name", lambda: [i["ifname"] for i in lab.json("status")["interfaces"]] == [new])
    assert lab.packets() == [3]
    lab.far.send(*[Frames(lab).udp(7002)] * 4)
    assert lab.packets() == [7]
    assert lab.property("Name") == new
    wait_until("signals", lambda: objects(signals, "InterfacesAdded")[-1:] == [lab.object_path(new)])
    assert objects(signals, "InterfacesRemoved") == [lab.object_path(old)]
    lab.stop_daemon(signal.SIGKILL)
    lab.start_daemon()
    assert lab.packets() == [7]


def test_interface_renamed_while_the_daemon_is_down_is_found(lab):
    lab.filter(RULES)
    lab.far.send(*[Frames(lab).udp(7002)] * 3)
    lab.stop_daemon(signal.SIGTERM)
    new = f"{lab.near.ifname}r"
    lab.near.ip("link", "set", lab.near.ifname, "name", new)
    lab.near.ifname = new
    lab.start_daemon()
    assert [(i["ifname"], i["state"]) for i in lab.json("status")["interfaces"]] == [(new, "attached")]
    assert lab.packets() == [3]


def test_interface_moved_to_another_namespace_is_said_and_still_filtered(lab, signals):
    lab.filter(RULES)
    other = f"{lab.near.namespace}m"
    command("ip", "netns", "add", other)
    try:
        lab.near.ip("link", "set", lab.near.ifname, "netns", other)
        wait_until("moved", lambda: state(lab) == "moved")
        assert lab.stats()["state_reason"]
        command("ip", "-n", other, "link", "set", lab.near.ifname, "up")
        lab.far.send(*[Frames(lab).udp(7002)] * 4)
        assert lab.packets() == [4]
        command("ip", "-n", other, "link", "set", lab.near.ifname, "netns", lab.near.namespace)
        lab.near.ip("link", "set", lab.near.ifname, "up")
        wait_until("attached again", lambda: state(lab) == "attached")
        lab.far.send(*[Frames(lab).udp(7002)] * 2)
        assert lab.packets() == [6]
    finally:
        command("ip", "netns", "del", other)
    wait_until("signals", lambda: changed(signals, "State") == ["moved", "attached"])


def test_interface_deleted_in_another_namespace_is_found_out_when_its_counters_are_read(lab):
    lab.filter(RULES)
    other = f"{lab.near.namespace}m"
    command("ip", "netns", "add", other)
    try:
        lab.near.ip("link", "set", lab.near.ifname, "netns", other)
        wait_until("moved", lambda: state(lab) == "moved")
        lab.ctl("packet", "stats", lab.near.ifname)
        assert state(lab) == "moved"
        command("ip", "-n", other, "link", "del", lab.near.ifname)
        lab.ctl("packet", "stats", lab.near.ifname, check=False)
        wait_until("absent", lambda: state(lab) == "absent")
        lab.make_link()
        wait_until("attached again", lambda: state(lab) == "attached")
    finally:
        command("ip", "netns", "del", other)


def test_interface_deleted_while_the_daemon_is_down_is_absent(lab):
    lab.filter(RULES)
    lab.stop_daemon(signal.SIGTERM)
    lab.far.ip("link", "del", lab.far.ifname)
    lab.start_daemon()
    assert state(lab) == "absent"
    lab.make_link()
    wait_until("attached", lambda: state(lab) == "attached")
    lab.ctl("packet", "detach", lab.near.ifname)
    assert lab.json("status")["interfaces"] == []
    lab.stop_daemon(signal.SIGTERM)
    lab.start_daemon()
    assert lab.json("status")["interfaces"] == []


def test_attach_load_and_detach_are_told_by_signals(lab, signals):
    lab.filter(RULES)
    lab.ctl("packet", "detach", lab.near.ifname)
    path = lab.object_path(lab.near.ifname)
    wait_until("signals", lambda: objects(signals, "InterfacesRemoved") == [path])
    assert objects(signals, "InterfacesAdded") == [path]
    assert changed(signals, "RuleCount") == [1]
    assert changed(signals, "RulesSource") == ["test.rules"]
    wait_until("JobRemoved", lambda: len(signals("JobRemoved")) == 3)
    assert {line["payload"]["data"][2] for line in signals("JobRemoved")} == {"done"}


BARE = "bare0"
TUNSETIFF, TUNSETLINK, TUN, NO_PI = 0x400454CA, 0x400454CD, 0x0001, 0x1000


@contextlib.contextmanager
def tun(side, name: str):
    with side.entered():
        fd = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), TUN | NO_PI))
    try:
        yield fd
    finally:
        os.close(fd)


def test_a_device_whose_packets_nobody_reads_is_refused(lab):
    with tun(lab.near, BARE) as fd:
        can = 280  # ARPHRD_CAN
        fcntl.ioctl(fd, TUNSETLINK, can)
        refused = lab.ctl("packet", "attach", BARE, "--mode", "generic", check=False)
        assert refused.code == 1 and f"{BARE} is of link type {can}, whose packets are not read" in refused.err, refused


@pytest.fixture
def bare(lab):
    """A device whose packets have no link header, filtered; what is written to the descriptor comes in by it."""
    with tun(lab.near, BARE) as fd:
        lab.near.ip("addr", "add", "10.99.0.1/24", "dev", BARE)
        lab.near.ip("link", "set", BARE, "up")
        lab.ctl("packet", "attach", BARE, "--mode", "generic")
        yield lab, fd


BARE_RULES = """drop proto udp dport 9
drop from 2001:db8:99::/48
pass mark 7 proto udp dport 7
"""


def load_bare(lab, rules: str):
    (lab.folder / "bare.rules").write_text(rules)
    return lab.ctl("packet", "load", BARE, str(lab.folder / "bare.rules"), check=False)


def test_a_device_without_link_headers_is_filtered(bare):
    lab, fd = bare
    assert load_bare(lab, BARE_RULES).code == 0
    lab.near.run("nft", "add table t; add chain t c { type filter hook prerouting priority 0; }; add rule t c meta mark 7 counter")
    ip, ip6 = IP(src="10.99.0.2", dst="10.99.0.1"), IPv6(src="2001:db8:99::2", dst="2001:db8:99::1")
    with lab.near.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("", 7))
        receiver.settimeout(10)
        for packet in (ip / UDP(dport=9), ip6 / UDP(dport=7), ip / UDP(dport=7) / Raw(b"marked")):
            os.write(fd, bytes(packet))
        assert receiver.recv(10) == b"marked"
    counted = [(rule["packets"], rule["bytes"]) for rule in lab.json("packet", "rules", BARE)]
    assert counted[:3] == [(1, 28), (1, 48), (1, 34)]
    assert "counter packets 1 " in lab.near.run("nft", "list", "ruleset").stdout
    # A daemon that finds it knows what kind of device it is.
    lab.stop_daemon(signal.SIGKILL)
    lab.start_daemon()
    assert load_bare(lab, BARE_RULES + "drop proto icmp\n").code == 0
    os.write(fd, bytes(ip / UDP(dport=9)))
    wait_until("the packet", lambda: lab.json("packet", "rules", BARE)[0]["packets"] == 2)


@contextlib.contextmanager
def another_namespace(lab):
    name = f"{lab.near.namespace}m"
    command("ip", "netns", "add", name)
    try:
        yield name
    finally:
        command("ip", "netns", "del", name)


@pytest.mark.parametrize("index_is_taken", [False, True])
def test_a_device_without_link_headers_that_is_elsewhere_is_taken_for_what_it_is(bare, index_is_taken):
    lab, fd = bare
    assert load_bare(lab, "drop proto udp dport 9\n").code == 0
    index = lab.near.link(BARE)["ifindex"]
    with another_namespace(lab) as other:
        lab.near.ip("link", "set", BARE, "netns", other)
        if index_is_taken:  # by a device whose packets do have one
            lab.near.ip("link", "add", "other0", "index", str(index), "type", "veth", "peer", "name", "other1")
        lab.stop_daemon(signal.SIGKILL)
        lab.start_daemon()
        assert lab.property("State", lab.object_path(BARE)) == "moved"
        assert load_bare(lab, "drop proto udp dport 10\n").code == 0
        command("ip", "-n", other, "link", "set", BARE, "up")
        for port in (9, 10):
            os.write(fd, bytes(IP(src="10.99.0.2", dst="10.99.0.1") / UDP(dport=port)))
        stats = wait_until("both packets", lambda: (s := lab.json("packet", "stats", BARE))["packets"] == 2 and s)
        assert (stats["passed"], stats["dropped"]) == (1, 1)
        refused = load_bare(lab, "pass challenge proto tcp dport 80\n")
        assert refused.code == 1 and f"packets of {BARE} have no Ethernet header" in refused.err, refused


def test_a_device_without_link_headers_is_analysed(bare):
    lab, fd = bare
    lab.ctl("packet", "analyse", BARE)
    with lab.near.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", 53))
        server.settimeout(10)
        question = DNS(rd=1, qd=DNSQR(qname="www.example.test"))
        os.write(fd, bytes(IP(src="10.99.0.2", dst="10.99.0.1") / UDP(sport=4000, dport=53) / question))
        _, asker = server.recvfrom(512)
        server.sendto(b"answered", asker)
    answered = lambda: [flow for flow in lab.json("flows", BARE)["flows"]["list"] if flow["to_initiator"]["packets"]]  # noqa: E731
    flow = wait_until("the flow", answered)[0]
    assert (flow["source"], flow["source_port"], flow["destination_port"]) == ("10.99.0.2", 4000, 53)
    (message,) = wait_until("the question", lambda: lab.json("flows", BARE)["messages"]["list"])
    assert [question["name"] for question in message["questions"]] == ["www.example.test"]


def test_what_needs_a_link_header_is_refused_where_there_is_none(bare):
    lab, _ = bare
    for rules in ("pass challenge proto tcp dport 80\n", f"pass redirect {lab.near.ifname} proto udp\n"):
        refused = load_bare(lab, rules)
        assert refused.code == 1 and f"packets of {BARE} have no Ethernet header" in refused.err, refused
    lab.attach()
    refused = lab.load(f"pass redirect {BARE} proto udp\n", check=False)
    assert refused.code == 1 and f"packets of {BARE} have no Ethernet header" in refused.err, refused
    for words in (["capture", BARE, "--take", "--force", "-w", "/dev/null"], ["forward", BARE, lab.near.ifname]):
        refused = lab.ctl("packet", *words, check=False)
        assert refused.code == 1 and f"packets of {BARE} have no Ethernet header" in refused.err, refused


class Pair:
    """A second veth pair of the lab's namespaces, without addresses; both filters drop a port and count it."""

    def __init__(self, lab, mark: str, port: int):
        self.lab = lab
        self.near, self.far = f"{lab.near.ifname}{mark}", f"{lab.far.ifname}{mark}"
        self.port = port
        lab.far.ip("link", "add", self.far, "type", "veth", "peer", "name", self.near, "netns", lab.near.namespace)
        lab.far.ip("link", "set", self.far, "up")
        lab.near.ip("link", "set", self.near, "up")
        self.ifindex = lab.near.link(self.near)["ifindex"]
        lab.ctl("packet", "attach", self.near)
        (lab.folder / f"{mark}.rules").write_text(f"drop proto udp dport {port}\n")
        lab.ctl("packet", "load", self.near, f"{mark}.rules", cwd=lab.folder)

    def send(self, count: int) -> None:
        self.lab.far.send(*[Frames(self.lab).udp(self.port)] * count, ifname=self.far)

    def is_filtered_as(self, ifname: str, packets: int) -> None:
        status = {row["ifname"]: row for row in self.lab.json("status")["interfaces"]}
        assert status[ifname]["state"] == "attached"
        assert self.lab.property("Ifindex", self.lab.object_path(ifname)) == self.ifindex
        rules = self.lab.json("packet", "rules", ifname)
        assert [(rule["text"], rule["packets"]) for rule in rules] == [(f"drop proto udp dport {self.port}", packets)]


def exchange(lab, names: list[str]) -> None:
    """Each device gets the next one's name, and the last one the first's."""
    lab.near.ip("link", "set", names[-1], "name", "aside")
    for name, new in reversed(list(zip(names, names[1:]))):
        lab.near.ip("link", "set", name, "name", new)
    lab.near.ip("link", "set", "aside", "name", names[0])


def stopped_by_signal(lab) -> None:
    lab.daemon.send_signal(signal.SIGSTOP)


def gone(lab) -> None:
    lab.stop_daemon(signal.SIGKILL)


@pytest.mark.parametrize("away", [stopped_by_signal, gone])
@pytest.mark.parametrize("count", [2, 3])
def test_devices_that_exchange_names_unseen_keep_their_filters(lab, away, count):
    pairs = [Pair(lab, mark, 7000 + i) for i, mark in enumerate("abc"[:count])]
    names = [pair.near for pair in pairs]
    for pair in pairs:
        pair.send(3)
    lab.ctl("packet", "analyse", names[0])
    away(lab)
    exchange(lab, names)
    for pair in pairs:
        pair.send(2)
    if away is gone:
        lab.start_daemon()
    else:
        lab.daemon.send_signal(signal.SIGCONT)
    new_names = names[1:] + names[:1]
    first = lab.object_path(new_names[0])
    wait_until("the exchange", lambda: lab.property("Ifindex", first) == pairs[0].ifindex)
    for pair, name in zip(pairs, new_names):
        pair.send(1)
        pair.is_filtered_as(name, 6)
    if away is not gone:  # an analysis is no wish that outlives the daemon
        assert [lab.property("SampleEvery", lab.object_path(name)) for name in new_names] == [1] + [0] * (count - 1)
    lab.stop_daemon(signal.SIGKILL)
    documents = sorted(path.name for path in lab.state_dir.rglob("packet.*") if path.is_file())
    assert len(documents) == count and sorted(d.split(".")[1] for d in documents) == sorted(names), documents
    pins = sorted(path.name.replace("_5f", "_") for path in (lab.bpf_dir / "packet").iterdir())
    assert pins == sorted(names)
    lab.start_daemon()
    for pair, name in zip(pairs, new_names):
        pair.is_filtered_as(name, 6)


def test_a_name_taken_from_an_interface_that_left_goes_to_the_device_that_has_it(lab):
    leaving, staying = Pair(lab, "a", 7000), Pair(lab, "b", 7001)
    stopped_by_signal(lab)
    lab.near.ip("link", "del", leaving.near)
    lab.near.ip("link", "set", staying.near, "name", leaving.near)
    lab.daemon.send_signal(signal.SIGCONT)
    wait_until("the new name", lambda: [i["ifname"] for i in lab.json("status")["interfaces"]] == [leaving.near])
    staying.send(1)
    staying.is_filtered_as(leaving.near, 1)
