"""Packets taken from an interface by AF_XDP: all of them in the file and none at the host, and afterwards as before."""

import random
import signal
import socket

import pytest
from frames import IP, UDP, Dot1Q, Ether, Frames
from lab import command, wait_until
from scapy.utils import PcapNgReader
from test_capture import capturing, end_of

DENIED = 9
SENT = 4000


def frames_of(path) -> list[bytes]:
    with PcapNgReader(str(path)) as reader:
        return [bytes(packet) for packet in reader]


def without_addresses(lab) -> None:
    for family in ("-4", "-6"):
        lab.near.ip(family, "addr", "flush", "dev", lab.near.ifname)


def numbered(lab, count: int, seed: int = 7) -> list[bytes]:
    """Frames that are all different: sizes from the smallest to the MTU, tags, ARP-less, some denied."""
    drawn = random.Random(seed)
    frames = Frames(lab)
    made = []
    for number in range(count):
        payload = number.to_bytes(4, "big") + drawn.randbytes(drawn.randrange(14, 1400))
        layers = [UDP(sport=1, dport=drawn.choice([DENIED, 7, 53])), payload]
        layers = [IP(src=lab.far.v4, dst=lab.near.v4), *layers]
        if drawn.random() < 0.2:
            layers.insert(0, Dot1Q(vlan=7))
        made.append(bytes(frames.ether(*layers)))
    return made


def passes(frame: bytes) -> bool:
    return Ether(frame)[UDP].dport != DENIED


def by_number(frames: list[bytes]) -> dict[int, bytes]:
    return {int.from_bytes(bytes(Ether(frame)[UDP].payload)[:4], "big"): frame for frame in frames}


@pytest.mark.parametrize("queues", [1, 2])
@pytest.mark.parametrize("mode", ["native", "generic"])
def test_all_that_the_rules_pass_is_in_the_file(lab, mode, queues):
    without_addresses(lab)
    for side in (lab.near, lab.far):
        side.run("ethtool", "-L", side.ifname, "rx", str(queues), "tx", str(queues))
    lab.filter(f"drop proto udp dport {DENIED}\n", "--mode", mode)
    sent = numbered(lab, SENT)
    with capturing(lab, "--take") as (taking, path):
        lab.far.send(*sent)
        wanted = [frame for frame in sent if passes(frame)]
        wait_until("the last of them", lambda: lab.stats()["hooks"][0]["passed"] >= len(wanted))
        taking.send_signal(signal.SIGINT)
        taking.communicate(timeout=20)
    got = [frame for frame in frames_of(path) if Ether(frame).haslayer(UDP)]
    # Of one queue in order; frame by frame equal in each case.
    assert by_number(got) == by_number(wanted)
    assert len(got) == len(wanted) and (queues > 1 or got == wanted)
    assert lab.packets()[0] == SENT - len(wanted)
    said = command("capinfos", "-T", "-M", "-c", str(path)).stdout
    assert str(len(frames_of(path))) in said


def test_what_came_before_an_interrupt_is_in_the_file(lab):
    without_addresses(lab)
    lab.filter(f"drop proto udp dport {DENIED}\n")
    sent = [frame for frame in numbered(lab, 2000) if passes(frame)]
    with capturing(lab, "--take") as (taking, path):
        lab.daemon.send_signal(signal.SIGSTOP)
        lab.far.send(*sent)
        taking.send_signal(signal.SIGINT)
        taking.wait()
        lab.daemon.send_signal(signal.SIGCONT)
        wait_until("the end", lambda: lab.json("jobs") == [])
    assert [frame for frame in frames_of(path) if Ether(frame).haslayer(UDP)] == sent


def test_ends_after_a_number_and_says_how_it_was_done(lab):
    without_addresses(lab)
    lab.filter("drop proto udp dport 9\n")
    sent = [frame for frame in numbered(lab, 300) if passes(frame)]
    with capturing(lab, "--take", "--count", "50") as (taking, path):
        lab.far.send(*sent)
        end = end_of(taking)
    assert '"mode": "copy"' in end and '"lost": 0' in end
    assert len(frames_of(path)) >= 50
    # Now they go to the host again: nobody has asked for this file's frames.
    host = lab.near.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
    host.settimeout(10)
    lab.far.send(sent[0])
    assert host.recv(2000)


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_an_interface_of_the_default_route_is_refused(lab, family):
    without_addresses(lab)
    lab.attach()
    lab.near.ip(family, "route", "add", "default", "dev", lab.near.ifname)
    refused = lab.ctl("packet", "capture", lab.near.ifname, "--take", "-w", "/dev/null", check=False)
    assert refused.code == 1 and "default route" in refused.err and "--force" in refused.err


def test_the_host_sees_nothing_of_it_until_zsyncd_is_gone(lab):
    lab.attach()
    receiver = lab.near.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind((lab.near.v4, 7001))
    receiver.settimeout(10)
    sender = lab.far.socket(socket.AF_INET, socket.SOCK_DGRAM)
    refused = lab.ctl("packet", "capture", lab.near.ifname, "--take", "-w", "/dev/null", check=False)
    assert refused.code == 1 and lab.near.v4 in refused.err and "--force" in refused.err
    with capturing(lab, "--take", "--force") as (taking, path):
        before = path.stat().st_size
        for _ in range(20):
            sender.sendto(b"taken", (lab.near.v4, 7001))
        wait_until("the file", lambda: path.stat().st_size >= before + 20 * 60)
        receiver.setblocking(False)
        with pytest.raises(BlockingIOError):
            receiver.recv(10)
        again = lab.ctl("packet", "capture", lab.near.ifname, "--take", "--force", "-w", "/dev/null", check=False)
        assert again.code == 1 and "is taken from already" in again.err
        lab.load("pass proto udp\n")  # goes by without a packet for the host
        sender.sendto(b"taken", (lab.near.v4, 7001))
        wait_until("one more", lambda: path.stat().st_size >= before + 21 * 60)
        with pytest.raises(BlockingIOError):
            receiver.recv(10)
        lab.stop_daemon(signal.SIGKILL)
        assert taking.wait(20) != 0

        def comes() -> bool:
            sender.sendto(b"here", (lab.near.v4, 7001))
            try:
                return receiver.recv(10) == b"here"
            except BlockingIOError:
                return False

        # The kernel takes a killed process's sockets down behind its end.
        wait_until("packets at the host again", comes)
        assert len(frames_of(path)) >= 20
    lab.start_daemon()
    receiver.settimeout(10)
    sender.sendto(b"still", (lab.near.v4, 7001))
    assert receiver.recv(10) == b"still"
