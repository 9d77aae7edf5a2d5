"""What `zsyncctl packet replay` says of a capture is what Suricata and tshark say of it."""

import gzip
import ipaddress
import math
import statistics
from collections import Counter

import pytest
from conftest import CAPTURES
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import RawPcapReader

NAMES = ["web", "dns", "icmp", "dhcp", "quic"]


def capture(name: str):
    return CAPTURES / f"{name}.pcap"


@pytest.fixture(scope="module", params=NAMES)
def judged(request, replay, suricata):
    """A capture's report beside Suricata's events."""
    done = replay(capture(request.param))
    assert done.code == 0, done.errors
    return done.report, suricata(capture(request.param))


def our_flow(flow: dict) -> tuple:
    there, back = flow["to_responder"], flow["to_initiator"]
    ports = (flow.get("source_port"), flow.get("destination_port"), flow.get("icmp_type"))
    counts = (there["packets"], there["bytes"], back["packets"], back["bytes"])
    return (flow["protocol"], flow["source"], flow["destination"], *ports, *counts)


def suricata_flow(event: dict) -> tuple:
    flow = event["flow"]
    name = event["proto"].lower().replace("ipv6-icmp", "icmpv6")
    addresses = (str(ipaddress.ip_address(event[key])) for key in ("src_ip", "dest_ip"))
    ports = (event.get("src_port"), event.get("dest_port"), event.get("icmp_type"))
    counts = (flow["pkts_toserver"], flow["bytes_toserver"], flow["pkts_toclient"], flow["bytes_toclient"])
    return (name, *addresses, *ports, *counts)


def test_flows_are_suricatas(judged):
    report, events = judged
    assert events["flow"]
    assert Counter(map(our_flow, report["flows"]["list"])) == Counter(map(suricata_flow, events["flow"]))


def test_totals_are_the_sums_of_the_flows(judged):
    report, _ = judged
    directions = [flow[way] for flow in report["flows"]["list"] for way in ("to_responder", "to_initiator")]
    other = sum(row["packets"] for row in report["protocols"] if row["protocol"] in ("arp", "other", "malformed"))
    assert report["flow_table"]["packets_without_flow"] == 0
    assert sum(direction["packets"] for direction in directions) == report["packets"] - other
    assert report["flow_table"]["flows"] == len(report["flows"]["list"])


def test_dns_names_are_suricatas(replay, suricata):
    messages = replay(capture("dns")).report["messages"]["list"]
    ours = Counter(
        ("answer" if message["kind"] == "response" else message["kind"], question["name"], question["type"], message.get("rcode"))
        for message in messages
        for question in message["questions"]
    )
    theirs = Counter(
        (event["dns"]["type"], event["dns"]["rrname"], event["dns"]["rrtype"], event["dns"].get("rcode"))
        for event in suricata(capture("dns"))["dns"]
    )
    assert len(theirs) >= 18
    assert ours == theirs


def test_dns_answers_are_suricatas(replay, suricata):
    ours = Counter(
        (record["name"], record["type"], record["ttl_seconds"], record["data"])
        for message in replay(capture("dns")).report["messages"]["list"]
        for record in message.get("answers", [])
        if record["type"] in ("A", "AAAA", "CNAME", "PTR")
    )
    theirs = Counter(
        (record["rrname"], record["rrtype"], record["ttl"], text(record["rdata"]))
        for event in suricata(capture("dns"))["dns"]
        for record in event["dns"].get("answers", [])
        if record["rrtype"] in ("A", "AAAA", "CNAME", "PTR")
    )
    assert theirs and ours == theirs


def text(data: str) -> str:
    try:
        return str(ipaddress.ip_address(data))
    except ValueError:
        return data


def test_http_requests_are_suricatas(replay, suricata):
    flows = replay(capture("web")).report["flows"]["list"]
    ours = Counter((f["method"], f["target"], f["version"], f["host"]) for f in flows if f.get("application") == "http")
    events = [event["http"] for event in suricata(capture("web"))["http"]]
    assert events
    assert ours == Counter((e["http_method"], e["url"], e["protocol"], e["hostname"]) for e in events)


@pytest.mark.parametrize("name, application", [("web", "tls"), ("quic", "quic")])
def test_server_names_alpn_and_ja4_are_tsharks(replay, tshark, name, application):
    flows = replay(capture(name)).report["flows"]["list"]
    ours = Counter(
        (flow["server_name"], ",".join(flow["alpn"]), flow["ja4"]) for flow in flows if flow.get("application") == application
    )
    fields = ["tls.handshake.extensions_server_name", "tls.handshake.extensions_alpn_str", "tls.handshake.ja4"]
    theirs = Counter(tshark(capture(name), "tls.handshake.type == 1", *fields))
    assert theirs
    assert ours == theirs


def test_dhcp_messages_are_tsharks(replay, tshark):
    kinds = ["discover", "offer", "request", "decline", "ack"]
    ours = [
        (str(kinds.index(m["kind"]) + 1), f"0x{m['id']:08x}", m["client_mac"], m["client_address"], m["host_name"])
        for m in replay(capture("dhcp")).report["messages"]["list"]
    ]
    fields = ["dhcp.option.dhcp", "dhcp.id", "dhcp.hw.mac_addr", "dhcp.ip.your", "dhcp.option.hostname"]
    # The client's address stands in the header, and in an option again.
    theirs = [(row[0], row[1], row[2].partition(",")[0], *row[3:]) for row in tshark(capture("dhcp"), "dhcp", *fields)]
    assert len(theirs) == 4
    assert ours == theirs


def test_protocol_mix_is_tsharks(replay, tshark):
    mix = {row["protocol"]: row["packets"] for row in replay(capture("icmp")).report["protocols"]}
    for protocol in ("icmp", "icmpv6"):
        # Not what an error quotes: that has a protocol of its own.
        assert mix[protocol] == len(tshark(capture("icmp"), protocol, "frame.number"))
    assert sum(mix.values()) == len(tshark(capture("icmp"), "frame", "frame.number"))


# Figures against the plainest way to have them: a count of every packet.


@pytest.fixture(scope="module")
def counted(replay, tmp_path_factory):
    """The report of a capture, and its frames: each one's bytes on the wire, and the frame."""

    def run(name: str):
        path = capture(name)
        if not path.exists():
            path = tmp_path_factory.mktemp(name) / f"{name}.pcap"
            path.write_bytes(gzip.decompress((CAPTURES / f"{name}.pcap.gz").read_bytes()))
        frames = [(about.wirelen, Ether(frame)) for frame, about in RawPcapReader(str(path))]
        return replay(path).report, frames

    return run


def network(frame):
    return frame.getlayer(IP) or frame.getlayer(IPv6)


def destination_port(frame) -> int:
    transport = frame.getlayer(TCP) or frame.getlayer(UDP)
    return transport.dport if transport else 0


@pytest.mark.parametrize("name", [*NAMES, "scan_syn", "amplification"])
def test_frame_sizes_are_those_of_a_count(counted, name):
    report, frames = counted(name)
    sizes = [size for size, _ in frames]
    found = report["frame_sizes"]
    assert found["mean_bytes"] == pytest.approx(statistics.fmean(sizes), rel=1e-5)
    assert found["standard_deviation_bytes"] == pytest.approx(statistics.pstdev(sizes), rel=1e-5)
    edges = [int(edge) for edge in found["below_bytes"] if edge != "more"]
    assert edges == [64 << i for i in range(11)]
    expected = Counter(next((str(edge) for edge in edges if size < edge), "more") for size in sizes)
    assert +Counter(found["below_bytes"]) == expected


@pytest.mark.parametrize("name", [*NAMES, "sweep_port", "flood_syn"])
def test_spread_is_the_entropy_of_a_count(counted, name):
    _, frames = counted(name)
    packets = [frame for _, frame in frames if network(frame)]

    def spread(values) -> float:
        bits = sum(count / len(packets) * math.log2(len(packets) / count) for count in Counter(values).values())
        return bits / math.log2(min(len(packets), 1024))

    # Two values in one of the meter's 1,024 cells, which each run throws anew, make it less, never more.
    reports = [counted(name)[0]["spread"] for _ in range(3)]
    for key, values in {
        "source_addresses": [network(packet).src for packet in packets],
        "destination_addresses": [network(packet).dst for packet in packets],
        "destination_ports": [destination_port(packet) for packet in packets],
    }.items():
        truth = spread(values)
        best = max(report[key] for report in reports)
        allowed = 0.1 if len(set(values)) > 8 else 1e-5
        assert truth - allowed <= best <= truth + 1e-5, (key, truth, reports)


@pytest.mark.parametrize("name", [*NAMES, "scan_syn", "scan_udp", "sweep_port"])
def test_sources_are_those_of_suricatas_flows(counted, suricata, tmp_path, name):
    report, _ = counted(name)
    path = tmp_path / "plain.pcap"
    packed = CAPTURES / f"{name}.pcap.gz"
    path.write_bytes(gzip.decompress(packed.read_bytes()) if packed.exists() else capture(name).read_bytes())
    flows: dict[str, list[tuple]] = {}
    for event in suricata(path)["flow"]:
        source, destination = (str(ipaddress.ip_address(event[key])) for key in ("src_ip", "dest_ip"))
        flows.setdefault(source, []).append((destination, event["proto"], event.get("dest_port", 0)))
    found = {row["address"]: row for row in report["sources"]["list"]}
    assert report["sources"]["forgotten"] == 0
    assert {address: row["flows"] for address, row in found.items()} == {source: len(of) for source, of in flows.items()}
    error = report["sources"]["standard_error"]
    for source, of in flows.items():
        destinations, ports = {flow[0] for flow in of}, {flow[1:] for flow in of}
        # Exact for few; three standard errors of 6.5 % for many.
        assert found[source]["destinations"] == pytest.approx(len(destinations), abs=max(1, 3 * error * len(destinations)))
        assert found[source]["ports"] == pytest.approx(len(ports), abs=max(1, 3 * error * len(ports)))
        assert len(ports) > 4 or found[source]["ports"] == len(ports)
