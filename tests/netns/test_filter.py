"""What rules match, on real frames through a real interface, counted exactly."""

import json
import socket
import threading

import pytest
from frames import (
    ARP,
    ICMP,
    IP,
    SCTP,
    TCP,
    UDP,
    Dot1AD,
    Dot1Q,
    Ether,
    Frames,
    ICMPv6EchoRequest,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    Raw,
)
from lab import wait_until

ETHERNET_HEADER_BYTES = 14
ETH_P_ALL = 3
BAD_V4 = ("198.51.100.9", "203.0.113.7")
GOOD_V4 = ("198.51.101.9", "203.0.113.8")
BAD_V6 = "2001:db8:bad::9"
GOOD_V6 = "2001:db8:900d::9"


@pytest.fixture
def frames(lab):
    return Frames(lab)


def matched(lab, rules: str, *sent: bytes) -> list[int]:
    """How often each rule matches when these frames come in."""
    lab.filter(rules)
    lab.far.send(*sent)
    return lab.packets()


def test_everything_passes_at_first(lab):
    lab.attach()
    assert lab.rules() == []
    for address in (lab.near.v4, lab.near.v6):
        lab.far.run("ping", "-c2", "-i0.01", "-W2", address)
    stats = lab.stats()
    assert stats["state"] == "attached" and stats["mode"] == "native"
    assert stats["packets"] == stats["passed"] >= 4
    assert stats["dropped"] == 0
    assert not any(stats["malformed"].values())


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_ping_is_dropped_and_everything_else_passes(lab, mode):
    lab.filter("drop proto icmp\n", "--mode", mode)
    assert lab.stats()["mode"] == mode
    assert lab.far.run("ping", "-c3", "-i0.01", "-W1", lab.near.v4, check=False).returncode == 1
    lab.far.run("ping", "-c3", "-i0.01", "-W2", lab.near.v6)
    assert lab.packets() == [3]


def test_default_drop_lets_through_what_a_rule_passes(lab):
    lab.filter("default drop\npass proto icmp\npass proto udp dport 5300\n")
    lab.far.run("ping", "-c2", "-i0.01", "-W2", lab.near.v4)
    assert lab.far.run("ping", "-c2", "-i0.01", "-W1", lab.near.v6, check=False).returncode == 1
    assert [receives(lab, port) for port in (5300, 5301)] == [True, False]
    stats = lab.stats()
    assert stats["default_verdict"] == "drop"
    assert stats["packets"] == stats["passed"] + stats["dropped"]


def receives(lab, port: int) -> bool:
    """Whether a datagram from the far end reaches a socket on the near one."""
    with lab.near.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((lab.near.v4, port))
        receiver.settimeout(0.3)
        with lab.far.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"hello", (lab.near.v4, port))
        try:
            return receiver.recv(16) == b"hello"
        except TimeoutError:
            return False


def test_counts_are_exact_in_packets_and_bytes(lab, frames):
    lab.filter("drop proto udp dport 7000\npass proto udp dport 7001\n")
    before = lab.far.link()["stats64"]["tx"]
    base = lab.stats()
    denied, allowed, other = frames.udp(7000), frames.udp(7001), frames.udp(7002)
    lab.far.send(*[denied] * 700, *[allowed] * 500, *[other] * 300)
    first, second = lab.rules()
    assert (first["packets"], first["bytes"]) == (700, 700 * len(denied))
    assert (second["packets"], second["bytes"]) == (500, 500 * len(allowed))
    stats = lab.stats()
    sent = lab.far.link()["stats64"]["tx"]
    assert stats["dropped"] - base["dropped"] == 700
    assert stats["dropped_bytes"] - base["dropped_bytes"] == 700 * len(denied)
    assert stats["packets"] - base["packets"] == sent["packets"] - before["packets"]
    # veth counts bytes without the Ethernet header.
    headers = ETHERNET_HEADER_BYTES * (sent["packets"] - before["packets"])
    assert stats["bytes"] - base["bytes"] == sent["bytes"] - before["bytes"] + headers
    assert stats["packets"] == stats["passed"] + stats["dropped"]


def test_counts_are_exact_when_all_cpus_send(lab, frames):
    lab.filter("drop proto udp dport 7000\n")
    frame = frames.udp(7000)
    threads = [threading.Thread(target=lab.far.send, args=[frame] * 5000) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A frame that a full ring refused was never on the wire; the kernel counts those.
    lost = lab.far.link()["stats64"]["tx"].get("dropped", 0)
    assert lab.packets() == [20000 - lost]


def test_named_set_of_both_families_matches_source_and_destination(lab, frames):
    rules = "set bad { 198.51.100.0/24, 2001:db8:bad::/48, 203.0.113.7 }\ndrop from @bad name \"known bad\"\n"
    lab.filter(rules + "drop to @bad\n")
    for source in (*BAD_V4, BAD_V6):
        lab.far.send(frames.udp(1, source))
    for source in (*GOOD_V4, GOOD_V6):
        lab.far.send(frames.udp(1, source))
    lab.far.send(frames.v4(UDP(dport=1), dst=BAD_V4[0]), frames.v6(UDP(dport=1), dst=BAD_V6))
    first, second = lab.rules()
    assert first["name"] == "known bad" and second["name"] == ""
    assert (first["packets"], second["packets"]) == (3, 2)


def test_set_of_10000_prefixes_from_a_file(lab, frames):
    lines = [f"10.{i // 250}.{i % 250}.0/24" for i in range(9000)]
    lines += [f"2001:db8:{i:x}::/48" for i in range(0x1000, 0x1000 + 1000)]
    listed = lab.folder / "big.txt"
    listed.write_text("\n".join(lines) + "\n")
    lab.attach()
    answer = lab.load(f'set big file "{listed}"\ndrop from @big\n', "--json")
    report = json.loads(answer.out)
    assert report["prefixes"] == 10000 and report["rules"] == 1 and report["loaded"]
    assert report["visible_us"] > 0
    lab.far.send(frames.udp(1, "10.0.0.1"), frames.udp(1, "10.35.249.255"), frames.udp(1, "2001:db8:13e7:ffff::1"))
    lab.far.send(frames.udp(1, "10.36.0.1"), frames.udp(1, "2001:db8:13e8::1"), frames.udp(1, "11.0.0.1"))
    assert lab.packets() == [3]
    assert lab.stats()["prefixes"] == 10000


def test_first_match_decides(lab, frames):
    sent = [frames.udp(53, "10.1.0.1"), frames.udp(54, "10.1.0.1"), frames.udp(53, "10.2.0.1")]
    rules = "pass from 10.1.0.0/16 proto udp dport 53\ndrop from 10.0.0.0/8\ndrop proto udp dport 53\n"
    assert matched(lab, rules, *sent) == [1, 2, 0]


def test_ports_by_number_range_and_set(lab, frames):
    rules = (
        "set ports { 23, 2323, 6000-6100 }\n"
        "drop proto tcp dport @ports\n"
        "drop proto udp dport 1000-1999\n"
        "drop proto udp sport 40000\n"
    )
    sent = [frames.tcp(port) for port in (22, 23, 24, 2323, 5999, 6000, 6100, 6101)]
    sent += [frames.udp(port, sport=1) for port in (999, 1000, 1999, 2000)] + [frames.udp(5), frames.udp(23)]
    assert matched(lab, rules, *sent) == [4, 2, 2]


def test_tcp_flags_want_some_set_and_some_clear(lab, frames):
    sent = [frames.tcp(22, flags) for flags in ("S", "SA", "A", "SF", "R", "SAE")]
    assert matched(lab, "drop proto tcp flags syn,!ack dport 22\ndrop proto tcp flags ack\n", *sent) == [2, 3]


def test_protocols(lab, frames):
    rules = "".join(f"drop proto {name}\n" for name in ("tcp", "udp", "icmp", "icmpv6", "sctp", "47"))
    sent = [
        frames.tcp(1),
        frames.udp(1),
        frames.v4(ICMP()),
        frames.v6(ICMPv6EchoRequest()),
        frames.v4(SCTP(dport=1)),
        frames.v4(Raw(b"x" * 8), proto=47),
        frames.tcp(1, source=GOOD_V6),
        frames.udp(1, source=GOOD_V6),
    ]
    assert matched(lab, rules, *sent) == [2, 2, 1, 1, 1, 1]


def test_vlan_is_the_outermost_tag_and_inner_packets_are_seen_through_four(lab, frames):
    udp = frames.ip() / UDP(dport=9) / Raw(b"x" * 8)
    sent = [
        frames.ether(Dot1Q(vlan=42), udp),
        frames.ether(Dot1Q(vlan=43), udp),
        frames.ether(Dot1Q(vlan=43), Dot1Q(vlan=42), udp),
        frames.ether(Dot1AD(vlan=42), Dot1Q(vlan=7), udp),
        frames.ether(*[Dot1Q(vlan=5)] * 4, udp),
        frames.ether(udp),
    ]
    assert matched(lab, "drop vlan 42\ndrop proto udp dport 9\n", *sent) == [2, 4]


def test_tagged_frames_come_through_unless_a_rule_drops_their_vlan(lab, frames):
    lab.filter("drop vlan 42\n")
    with lab.near.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as tap:
        with lab.near.entered():
            tap.bind((lab.near.ifname, ETH_P_ALL))
        tap.settimeout(2)
        for vlan in (42, 43, 42, 44):
            lab.far.send(frames.ether(Dot1Q(vlan=vlan), frames.ip(), UDP(dport=vlan), Raw(b"tagged")))
        seen = []
        while len(seen) < 2:
            frame = tap.recv(2048)
            if frame.endswith(b"tagged"):
                seen.append(UDP(frame[-14:]).dport)  # its header is the 8 bytes before
    assert seen == [43, 44]
    assert lab.packets() == [2]


def test_fragments_of_both_families(lab, frames):
    lab.filter("drop fragment\n")
    lab.far.run("ping", "-c1", "-W2", lab.near.v4)
    assert lab.far.run("ping", "-c1", "-W1", "-s4000", lab.near.v4, check=False).returncode == 1
    assert lab.far.run("ping", "-c1", "-W1", "-s4000", lab.near.v6, check=False).returncode == 1
    # 4008 bytes of ICMP in pieces of at most 1480 (v4) and 1448 (v6) bytes
    assert lab.packets() == [3 + 3]
    lab.far.send(frames.v4(Raw(b"x" * 64), frag=8, proto=17), frames.v4(UDP(), Raw(b"x" * 64), flags="MF"))
    lab.far.send(frames.v6(IPv6ExtHdrFragment(offset=8, nh=17), Raw(b"x" * 64)))
    assert lab.packets() == [9]


def test_ports_are_found_behind_ip_options_and_extension_headers(lab, frames):
    options = b"\x01" * 8
    sent = [
        frames.v4(UDP(dport=77), Raw(b"x"), options=[]),
        frames.ether(IP(src=lab.far.v4, dst=lab.near.v4, ihl=7, len=28 + 8, proto=17), Raw(options), UDP(dport=77, len=8)),
        frames.v6(IPv6ExtHdrHopByHop(), UDP(dport=77), Raw(b"x")),
    ]
    assert matched(lab, "drop proto udp dport 77\n", *sent) == [3]
    assert not any(lab.stats()["malformed"].values())


def malformed_frames(frames) -> dict[str, bytes]:
    """A frame for each of these reasons."""
    head = frames.ether()[:12]
    return {
        "vlan_short": head + b"\x81\x00\x00",
        "vlan_depth": frames.ether(*[Dot1Q(vlan=1)] * 5, frames.ip(), UDP()),
        "ipv4_short": head + b"\x08\x00" + b"\x45" * 8,
        "ipv4_version": frames.v4(UDP(), version=6),
        "ipv4_header_length": frames.v4(UDP(), ihl=4),
        "ipv4_total_length": frames.v4(UDP(), len=2000),
        "ipv6_short": head + b"\x86\xdd" + b"\x60" * 8,
        "ipv6_version": frames.v6(UDP(), version=4),
        "ipv6_payload_length": frames.v6(UDP(), plen=2000),
        "tcp_short": frames.v4(Raw(b"x" * 19), proto=6),
        "tcp_data_offset": frames.v4(TCP(dataofs=4)),
        "udp_short": frames.v4(Raw(b"x" * 7), proto=17),
    }


@pytest.mark.parametrize("verdict", ["drop", "pass"])
def test_malformed_packets_are_counted_by_reason_and_get_the_sets_verdict(lab, frames, verdict):
    lab.filter(f"malformed {verdict}\ndrop proto udp dport 7\n")
    base = lab.stats()
    sent = malformed_frames(frames)
    for number, frame in enumerate(sent.values(), 1):
        lab.far.send(*[frame] * number)
    stats = lab.stats()
    expected = {reason: number for number, reason in enumerate(sent, 1)}
    assert {reason: count for reason, count in stats["malformed"].items() if count} == expected
    total = sum(expected.values())
    counted = "dropped" if verdict == "drop" else "passed"
    assert stats[counted] - base[counted] >= total
    assert verdict == "drop" or stats["dropped"] == base["dropped"]
    assert stats["malformed_verdict"] == verdict


def test_arp_passes_whatever_the_rules_say(lab, frames):
    lab.filter("default drop\nmalformed drop\n")
    lab.far.ip("neigh", "del", lab.near.v4, "dev", lab.far.ifname)
    request = bytes(
        Ether(src=lab.far.mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, psrc=lab.far.v4, pdst=lab.near.v4, hwsrc=lab.far.mac)
    )
    with lab.far.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as wire:
        wire.settimeout(2)
        lab.far.send(request)
        assert wire.recv(2048)[20:22] == b"\x00\x02"  # a reply


def test_same_rules_keep_their_counts_across_loads(lab, frames):
    lab.filter("drop proto udp dport 1\ndrop proto udp dport 2\n")
    lab.far.send(*[frames.udp(1)] * 10, *[frames.udp(2)] * 20)
    assert lab.packets() == [10, 20]
    lab.load("# the order changed, and one is new\ndrop proto udp dport 3\ndrop  proto  udp  dport 2\ndrop proto udp dport 1\n")
    lab.far.send(*[frames.udp(1)] * 1, *[frames.udp(2)] * 2, *[frames.udp(3)] * 3)
    assert lab.packets() == [3, 22, 11]
    lab.load("drop proto udp dport 3\n")
    lab.load("drop proto udp dport 1\n")
    assert lab.packets() == [0], "a rule that was gone began anew"


def test_loading_is_one_step_for_packets(lab, frames):
    """Rules change places a hundred times under traffic; each packet must meet one whole set."""
    first = "drop proto udp dport 1\npass proto udp dport 2\n"
    second = "pass proto udp dport 2\ndrop proto udp dport 1\n"
    lab.filter(first)
    frame = frames.udp(1)
    stop = threading.Event()
    sent = 0

    def send() -> None:
        nonlocal sent
        while not stop.is_set():
            lab.far.send(*[frame] * 50)
            sent += 50

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for round_ in range(50):
            lab.load(first if round_ % 2 else second)
    finally:
        stop.set()
        sender.join()
    dropped = next(rule["packets"] for rule in lab.rules() if rule["text"].startswith("drop"))
    assert dropped == sent > 1000


def test_detach_lets_everything_pass_and_leaves_nothing(lab):
    lab.filter("default drop\n")
    assert lab.far.run("ping", "-c1", "-W1", lab.near.v4, check=False).returncode == 1
    lab.ctl("packet", "detach", lab.near.ifname)
    lab.far.run("ping", "-c1", "-W2", lab.near.v4)
    assert "xdp" not in lab.near.link()
    assert not [path for path in lab.bpf_dir.rglob("*") if path.is_file()]
    assert lab.json("status")["interfaces"] == []


def test_throughput_stays_with_real_tools(lab):
    """TCP of a real program through the filter, while another is kept out."""
    lab.filter("drop proto tcp dport 5202\n")
    servers = [lab.near.start("iperf3", "-s", "-1", "-p", str(port)) for port in (5201, 5202)]
    try:
        for port in (5201, 5202):
            listening = f"sport = :{port}"
            wait_until("iperf3", lambda words=listening: "LISTEN" in lab.near.run("ss", "-ltn", words).stdout)
        done = lab.far.run("iperf3", "-J", "-c", lab.near.v4, "-p", "5201", "-t", "1")
        assert json.loads(done.stdout)["end"]["sum_received"]["bytes"] > 1_000_000
        refused = lab.far.run(
            "iperf3", "-c", lab.near.v4, "-p", "5202", "-t", "1", "--connect-timeout", "300", check=False
        )
        assert refused.returncode != 0
        assert lab.packets()[0] >= 1
    finally:
        for server in servers:
            server.kill()
            server.wait()


def test_port_scan_over_ipv6_meets_the_rules(lab):
    lab.filter("drop proto tcp dport 1-100\n")
    done = lab.far.run("nmap", "-6", "-n", "-Pn", "-sS", "--max-retries", "0", "-p", "90-110", lab.near.v6)
    assert lab.packets() == [11], done.stdout
