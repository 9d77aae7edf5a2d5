"""Captures: readable by tshark, equal to tcpdump's beside them, and the conditions of a rule decide what is in them."""

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import time

import pytest
from frames import ICMP, UDP, Dot1Q, Frames, IPv6ExtHdrHopByHop, Raw
from lab import command, start, wait_until
from scapy.utils import PcapReader


def tshark(path, *words: str) -> list[list[str]]:
    """Fields of each frame."""
    fields = ["frame.len", "frame.cap_len", "frame.protocols", *words]
    options = [word for field in fields for word in ("-e", field)]
    done = command("tshark", "-r", str(path), "-T", "fields", *options)
    return [line.split("\t") for line in done.stdout.splitlines()]


@contextlib.contextmanager
def capturing(lab, *words: str):
    """A capture that has begun; its process, to be waited for."""
    path = lab.folder / "c.pcapng"
    path.unlink(missing_ok=True)
    capture = start(
        "zsyncctl", "--json", "packet", "capture", lab.near.ifname, *words, "-w", str(path),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=lab.environment(),
    )  # fmt: skip
    try:
        wait_until("the capture", lambda: path.exists() and path.stat().st_size > 0)
        yield capture, path
    finally:
        capture.kill()
        capture.communicate()


@contextlib.contextmanager
def tcpdump(lab, expression: str = ""):
    path = lab.folder / "t.pcap"
    words = ["tcpdump", "-U", "-i", lab.near.ifname, "-w", str(path), *expression.split()]
    dump = lab.near.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "listening" in dump.stderr.readline()
    try:
        yield dump, path
    finally:
        dump.kill()
        dump.communicate()


def traffic(lab) -> None:
    lab.far.run("ping", "-q", "-c", "25", "-i", "0.01", "-s", "1000", lab.near.v4)
    lab.far.run("ping", "-q", "-c", "15", "-i", "0.01", lab.near.v6)
    lab.far.run("nc", "-z", "-w", "1", lab.near.v4, "80", check=False)


def end_of(capture) -> str:
    out, err = capture.communicate(timeout=20)
    assert capture.returncode == 0, err
    return out


def without_group_reports(frames: list[list[str]]) -> list[list[str]]:
    """What the kernel says of IPv6 groups when it likes is no part of a test."""
    return [frame for frame in frames if "hopopts" not in frame[2]]


@pytest.mark.parametrize(
    "condition, expression, count",
    [("", "", 82), ("proto icmp", "icmp", 50), ("proto icmp from 10.78.0.2", "icmp and src 10.78.0.2", 25)],
)
def test_equals_what_tcpdump_captures(lab, condition, expression, count):
    lab.attach()
    with (
        capturing(lab, *condition.split(), "--for", "2.5") as (capture, ours),
        tcpdump(lab, expression) as (_, theirs),
    ):
        traffic(lab)
        end_of(capture)
        frames = wait_until(
            "tcpdump", lambda: [found for found in [without_group_reports(tshark(theirs))] if len(found) >= count]
        )[0]
    assert len(frames) == count
    assert without_group_reports(tshark(ours)) == frames


def whole(path) -> list[tuple[int, bytes]]:
    """The frames of a capture with their lengths, but what the kernel says of IPv6 groups when it likes."""
    with PcapReader(str(path)) as reader:
        return [(packet.wirelen, bytes(packet)) for packet in reader if not packet.haslayer(IPv6ExtHdrHopByHop)]


@pytest.mark.parametrize("mode", ["native", "generic"])
@pytest.mark.parametrize(
    "condition, expression, count",
    [("", "", 35), ("proto icmp", "icmp", 19), ("length 0-2000 proto udp", "udp", 6), ("vlan 7", "vlan 7", 6)],
)
def test_has_each_frame_byte_by_byte_in_each_mode(lab, mode, condition, expression, count):
    """In generic mode the kernel copies packets for XDP where they are cloned or have no room in front."""
    lab.attach("--mode", mode)
    frames = Frames(lab)
    sent = [
        frames.ether(*tags, frames.ip(), layer, bytes(range(size)))
        for tags in ([], [Dot1Q(vlan=7)])
        for layer in (ICMP(), UDP(sport=1, dport=7000))
        for size in (30, 100, 250)
    ]
    with lab.near.socket(socket.AF_INET, socket.SOCK_DGRAM) as unread:
        unread.bind(("", 7000))
        with capturing(lab, *condition.split()) as (capture, ours), tcpdump(lab, expression) as (_, theirs):
            lab.far.send(*sent)
            lab.far.run("ping", "-q", "-c", "5", "-i", "0.01", "-s", "1400", lab.near.v4)
            lab.far.run("ping", "-q", "-c", "5", "-i", "0.01", lab.near.v6)
            wait_until("tcpdump", lambda: len(whole(theirs)) >= count)
            capture.send_signal(signal.SIGINT)
            capture.wait()
            wait_until("the end", lambda: lab.json("jobs") == [])
    assert whole(ours) == whole(theirs)


def test_ends_after_a_time_and_says_what_it_has(lab):
    lab.attach()
    with capturing(lab, "proto", "icmp", "--for", "1.5") as (capture, path):
        traffic(lab)
        assert '"packets": 50' in end_of(capture)
    assert len(tshark(path)) == 50
    info = command("capinfos", "-M", str(path)).stdout
    assert "nanosecond" in info.lower()
    # The last block: interface statistics, with what was received and dropped.
    data = path.read_bytes()
    length = struct.unpack("<I", data[-4:])[0]
    block = data[-length:]
    assert struct.unpack("<I", block[:4])[0] == 5
    assert struct.pack("<HHQ", 4, 8, 50) in block and struct.pack("<HHQ", 5, 8, 0) in block


def test_what_came_before_an_interrupt_is_in_the_file(lab):
    lab.attach()
    with capturing(lab, "proto", "icmp") as (capture, path):
        lab.daemon.send_signal(signal.SIGSTOP)
        lab.far.run("ping", "-q", "-c", "200", "-i", "0.002", lab.near.v4)
        capture.send_signal(signal.SIGINT)
        capture.wait()
        lab.daemon.send_signal(signal.SIGCONT)
        wait_until("the end", lambda: lab.json("jobs") == [])
    assert len(tshark(path)) == 400


def test_is_whole_when_its_client_is_interrupted(lab):
    lab.attach()
    with capturing(lab) as (capture, path):
        lab.far.run("ping", "-q", "-c", "10", "-i", "0.01", lab.near.v4)
        capture.send_signal(signal.SIGINT)
        capture.wait()
        wait_until("the end", lambda: lab.json("jobs") == [])
    assert len(without_group_reports(tshark(path))) == 20
    assert struct.unpack("<I", path.read_bytes()[-4:])[0] < 200
    programs = lab.near.run("bpftool", "-j", "net", "show", "dev", lab.near.ifname).stdout
    assert "tcx" not in programs  # nothing is left behind


@pytest.mark.parametrize("how", [[], ["--take", "--force"]], ids=["copied", "taken"])
def test_a_reader_that_leaves_ends_the_capture_and_nothing_else(lab, how):
    lab.attach()
    pid = lab.daemon.pid
    reader, writer = os.pipe()
    words = ("zsyncctl", "packet", "capture", lab.near.ifname, *how, "-w", "-")
    capture = start(*words, stdout=writer, stderr=subprocess.PIPE, text=True, env=lab.environment())
    os.close(writer)
    assert os.read(reader, 4) == b"\x0a\x0d\x0d\x0a"
    os.close(reader)
    frames = [Frames(lab).udp(9)] * 50

    def ended() -> bool:
        lab.far.send(*frames)
        return capture.poll() is not None

    wait_until("the end", ended)
    assert capture.returncode == 1 and "Broken pipe" in capture.stderr.read()
    assert lab.daemon.poll() is None and lab.json("status")["pid"] == pid


WAYS = {"copied": [], "samples": ["--samples", "in"], "taken": ["--take", "--force"]}


@contextlib.contextmanager
def unread(lab, how: str):
    """A capture into a pipe that is full, and the pipe's other end."""
    lab.filter("pass sample 1/1 proto udp\n")
    reader, writer = os.pipe()
    words = ("zsyncctl", "packet", "capture", lab.near.ifname, *WAYS[how], "-w", "-")
    capture = start(*words, stdout=writer, stderr=subprocess.PIPE, text=True, env=lab.environment())
    try:
        wait_until("the beginning", lambda: select.select([reader], [], [], 0)[0])
        frame = Frames(lab).v4(UDP(dport=9), Raw(b"x" * 1000))

        def is_full() -> bool:
            lab.far.send(*[frame] * 50)
            return not select.select([], [writer], [], 0)[1]

        wait_until("a full pipe", is_full)
        os.close(writer)
        yield capture, reader
    finally:
        capture.kill()
        capture.wait()
        os.close(reader)


def blocks(data: bytes) -> list[int]:
    """The types of the whole blocks of pcapng that data begins with; nothing else may be there but one that is cut."""
    found, at = [], 0
    while at + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        assert 12 <= length < 70_000 and length % 4 == 0, (at, kind, length)
        if at + length <= len(data):
            assert struct.unpack_from("<I", data, at + length - 4)[0] == length, at
            found.append(kind)
        at += length
    return found


def drained(reader: int) -> bytes:
    data = b""
    while more := os.read(reader, 1 << 16):
        data += more
    return data


@pytest.mark.parametrize("how", WAYS)
def test_a_reader_that_does_not_read_keeps_no_daemon_from_its_end(lab, how):
    with unread(lab, how) as (_, reader):
        begun = time.monotonic()
        assert lab.stop_daemon() == 0
        assert time.monotonic() - begun < 5  # on a machine that may be busy; it waits half a second
        found = blocks(drained(reader))
        assert found[:2] == [0x0A0D0D0A, 1] and set(found[2:-1]) <= {6}


@pytest.mark.parametrize("how", WAYS)
def test_what_waited_for_its_reader_comes_once_when_it_is_interrupted(lab, how):
    with unread(lab, how) as (capture, reader):
        capture.send_signal(signal.SIGINT)
        capture.wait()
        found = blocks(drained(reader))
        assert found[:2] == [0x0A0D0D0A, 1] and found[-1] == 5 and set(found[2:-1]) == {6}
        wait_until("the end", lambda: lab.json("jobs") == [])


def test_streams_and_keeps_the_length_on_the_wire(lab):
    lab.attach()
    for side in (lab.near, lab.far):
        side.ip("link", "set", side.ifname, "mtu", "3000")
    with capturing(lab, "proto", "icmp", "--count", "2") as (capture, path):
        lab.far.run("ping", "-q", "-c", "1", "-s", "2500", lab.near.v4)
        end_of(capture)
    assert [frame[:2] for frame in tshark(path)] == [["2542", "1600"]] * 2
    lab.ctl("packet", "replay", str(path))


def test_tags_of_vlans_are_in_the_capture(lab):
    lab.attach()
    frames = Frames(lab)
    with capturing(lab, "--count", "2") as (capture, path):
        lab.far.send(frames.ether(Dot1Q(vlan=7), frames.ip(), UDP(dport=9)), frames.ether(Dot1Q(vlan=8), frames.ip(), UDP(dport=9)))
        end_of(capture)
    assert [(frame[0], frame[3]) for frame in tshark(path, "vlan.id")] == [("46", "7"), ("46", "8")]


SAMPLING = """
drop in proto udp dport 7000 sample 1/1 name "no 7000"
pass in proto icmp sample 1/1
pass out proto icmp sample 1/1
"""


def judged(path) -> list[list[str]]:
    """Of each frame the comment and the verdict."""
    fields = ["frame.comment", "frame.verdict.ebpf_xdp", "frame.verdict.ebpf_tc", "udp.dstport"]
    return [frame[3:] for frame in tshark(path, *fields)]


def test_samples_come_with_their_rule_and_verdict(lab):
    lab.filter(SAMPLING)
    lab.far.send(Frames(lab).udp(7000))  # before the capture: not in it
    with capturing(lab, "--samples", "in", "--count", "5") as (capture, path):
        lab.far.send(Frames(lab).udp(7000), Frames(lab).udp(7001), Frames(lab).udp(7000))
        lab.far.run("ping", "-q", "-c", "3", "-i", "0.01", lab.near.v4)
        assert '"lost": 0' in end_of(capture)
    dropped = ["no 7000: drop sample 1/1 proto udp dport 7000", "1", "", "7000"]
    passed = ["pass sample 1/1 proto icmp", "2", "", ""]
    assert judged(path) == [dropped] * 2 + [passed] * 3
    lab.ctl("packet", "replay", str(path))


def test_samples_of_what_leaves(lab):
    lab.filter(SAMPLING)
    with capturing(lab, "--samples", "out", "--for", "1") as (capture, path):
        lab.far.run("ping", "-q", "-c", "3", "-i", "0.01", lab.near.v4)
        end_of(capture)
    assert judged(path) == [["pass out sample 1/1 proto icmp", "", "0", ""]] * 3


def test_samples_go_on_over_a_load_until_no_rule_samples(lab):
    lab.filter(SAMPLING)
    with capturing(lab, "--samples", "in") as (capture, path):
        lab.far.send(Frames(lab).udp(7000))
        lab.load("drop in proto udp dport 7002 sample 1/1\n")
        lab.far.send(Frames(lab).udp(7000), Frames(lab).udp(7002))
        wait_until("both", lambda: len(tshark(path)) == 2)
        # The ring has one reader.
        answer = lab.ctl("packet", "capture", lab.near.ifname, "--samples", "in", "-w", "-", check=False)
        assert answer.code == 1 and "captured already" in answer.err
        lab.load("drop in proto udp dport 7002\n")
        _, err = capture.communicate(timeout=20)
        assert capture.returncode == 1 and "sample 1/N" in err
    assert [frame[0] for frame in judged(path)] == [
        "no 7000: drop sample 1/1 proto udp dport 7000",
        "drop sample 1/1 proto udp dport 7002",
    ]


def test_samples_go_on_when_the_interface_gets_another_name(lab):
    lab.filter(SAMPLING)
    new = f"{lab.near.ifname}r"
    with capturing(lab, "--samples", "in", "--count", "3") as (capture, path):
        lab.far.send(Frames(lab).udp(7000))
        wait_until("the first", lambda: len(tshark(path)) == 1)
        lab.near.ip("link", "set", lab.near.ifname, "name", new)
        lab.near.ifname = new
        wait_until("the new name", lambda: [i["ifname"] for i in lab.json("status")["interfaces"]] == [new])
        lab.far.send(Frames(lab).udp(7000))
        wait_until("the second", lambda: len(tshark(path)) == 2)
        answer = lab.ctl("packet", "capture", new, "--samples", "in", "-w", "-", check=False)
        assert answer.code == 1 and "captured already" in answer.err
        lab.load(SAMPLING + "drop proto udp dport 1\n")
        lab.far.send(Frames(lab).udp(7000))
        assert '"packets": 3' in end_of(capture)
    assert [frame[0] for frame in judged(path)] == ["no 7000: drop sample 1/1 proto udp dport 7000"] * 3


def test_samples_end_with_the_filter(lab):
    lab.filter(SAMPLING)
    with capturing(lab, "--samples", "in") as (capture, path):
        lab.ctl("packet", "detach", lab.near.ifname)
        _, err = capture.communicate(timeout=20)
    assert capture.returncode == 1 and "no filter is attached" in err


def test_refuses_samples_in_words(lab):
    lab.filter("pass in proto icmp\n")
    capture = ["packet", "capture", lab.near.ifname, "-w", str(lab.folder / "x.pcapng"), "--samples"]
    answer = lab.ctl(*capture, "in", check=False)
    assert answer.code == 1 and "sample 1/N" in answer.err
    answer = lab.ctl(*capture, "out", check=False)
    assert answer.code == 1 and "no rules at the hook 'out'" in answer.err
    answer = lab.ctl(*capture, "in", "proto", "icmp", check=False)
    assert answer.code == 2 and "without conditions" in answer.err


def test_refuses_in_words(lab):
    lab.attach()
    answer = lab.ctl("packet", "capture", lab.near.ifname, check=False)
    assert answer.code == 2 and "-w FILE" in answer.err
    path = str(lab.folder / "x.pcapng")
    answer = lab.ctl("packet", "capture", lab.near.ifname, "proto", "nosuch", "-w", path, check=False)
    assert answer.code == 1 and "nosuch" in answer.err
    answer = lab.ctl("packet", "capture", "nosuch0", "-w", path, check=False)
    assert answer.code == 1 and "nosuch0" in answer.err
    for words in (["--count", "0"], ["--for", "0"], ["--for", "86401"], ["--count", "x"]):
        assert lab.ctl("packet", "capture", lab.near.ifname, "-w", path, *words, check=False).code == 2
