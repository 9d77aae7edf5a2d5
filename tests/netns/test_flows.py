"""The kernel's flow table under real traffic: what `zsyncctl flows` says is what Suricata says of the same wire."""

import collections
import ipaddress
import json
import signal
import socket
import subprocess
import threading

import pytest
from lab import wait_until

BULK_BYTES = 300_000
DROPPED_PORT = 9999
DATAGRAMS = 40
PAYLOAD = b"these are dropped"
RULES = f"drop proto udp dport {DROPPED_PORT}\n"


@pytest.fixture
def counted(lab, request):
    # Frames as they are on a wire: no segments put together, and tags in the frame.
    for side in (lab.near, lab.far):
        side.run("ethtool", "-K", side.ifname, "tso", "off", "gso", "off", "gro", "off", "tx", "off", "txvlan", "off")
    lab.filter(RULES, "--mode", getattr(request, "param", "auto"))
    lab.ctl("packet", "analyse", lab.near.ifname)
    return lab


class Wire:
    """What goes over the far end, recorded, as Suricata's flows."""

    def __init__(self, folder):
        self._folder = folder
        self.file = folder / "wire.pcap"

    def holds(self, payload: bytes, count: int) -> bool:
        return self.file.read_bytes().count(payload) == count

    def flows(self) -> collections.Counter:
        words = ["suricata", "-r", str(self.file), "-l", str(self._folder), "-k", "none", "-S", "/dev/null"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
        events = map(json.loads, (self._folder / "eve.json").read_text().splitlines())
        return collections.Counter(suricatas(event) for event in events if event["event_type"] == "flow" and wanted(event))


def wanted(event: dict) -> bool:
    return event["proto"] in ("TCP", "UDP", "ICMP") or event.get("icmp_type") == 128


def suricatas(event: dict) -> tuple:
    flow = event["flow"]
    name = event["proto"].lower().replace("ipv6-icmp", "icmpv6")
    ends = (str(ipaddress.ip_address(event[key])) for key in ("src_ip", "dest_ip"))
    ports = (event.get("src_port"), event.get("dest_port"))
    counts = (flow["pkts_toserver"], flow["bytes_toserver"], flow["pkts_toclient"], flow["bytes_toclient"])
    return (name, *ends, *ports, *counts)


def ours(flow: dict) -> tuple:
    there, back = flow["to_responder"], flow["to_initiator"]
    ports = (flow.get("source_port"), flow.get("destination_port"))
    return (
        flow["protocol"], flow["source"], flow["destination"], *ports,
        there["packets"], there["bytes"], back["packets"], back["bytes"],
    )  # fmt: skip


def report(lab) -> dict:
    return lab.json("flows", lab.near.ifname)


def known(lab) -> list[dict]:
    flows = report(lab)["flows"]["list"]
    return [flow for flow in flows if flow["protocol"] in ("tcp", "udp", "icmp") or flow.get("icmp_type") == 128]


def download(lab, family, address: str, port: int) -> None:
    """The far end gets BULK_BYTES from the near one."""
    with lab.near.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
        listener.settimeout(10)

        def serve():
            with listener.accept()[0] as peer:
                peer.recv(64)
                peer.sendall(bytes(BULK_BYTES))

        server = threading.Thread(target=serve)
        server.start()
        with lab.far.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(10)
            client.connect((address, port))
            client.sendall(b"GET")
            got = 0
            while block := client.recv(1 << 16):
                got += len(block)
        server.join()
        assert got == BULK_BYTES


def traffic(lab) -> None:
    download(lab, socket.AF_INET, lab.near.v4, 8080)
    download(lab, socket.AF_INET6, lab.near.v6, 8081)
    lab.far.run("ping", "-c", "5", "-i", "0.02", lab.near.v4)
    lab.far.run("ping", "-c", "3", "-i", "0.02", lab.near.v6)
    with lab.far.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for _ in range(DATAGRAMS):
            out.sendto(PAYLOAD, (lab.near.v4, DROPPED_PORT))


@pytest.mark.parametrize("counted", ["native", "generic"], indirect=True)
def test_flows_packets_and_bytes_are_suricatas(counted, request, tmp_path):
    assert counted.stats()["mode"] == request.node.callspec.params["counted"]
    wire = Wire(tmp_path)
    with counted.far.recorded(wire.file):
        traffic(counted)
        # The last ones cross without anybody waiting for them.
        wait_until("the last datagram", lambda: any(flow["dropped"] == DATAGRAMS for flow in known(counted)))
        wait_until("its capture", lambda: wire.holds(PAYLOAD, DATAGRAMS))
        wait_until("the end of both connections", lambda: [f["state"] for f in known(counted)].count("closed") == 2)
    theirs = wire.flows()
    flows = known(counted)
    mine = collections.Counter(map(ours, flows))
    assert len(theirs) == 5
    assert mine == theirs
    table = report(counted)["flow_table"]
    assert table["packets_without_flow"] == 0 and not table["in_flood"]
    assert sum(flow["dropped"] for flow in flows) == counted.stats()["dropped"] == DATAGRAMS


def test_a_restart_keeps_flows_where_the_configuration_wants_them(quiet_lab):
    lab = quiet_lab
    lab.config.write_text(f"[packet.interfaces.{lab.near.ifname}]\nanalyse_every = 1\n")
    lab.start_daemon()
    ping = ["ping", "-c", "4", "-i", "0.02", lab.near.v4]
    lab.far.run(*ping)
    lab.stop_daemon(signal.SIGKILL)
    lab.far.run(*ping)
    lab.start_daemon()
    lab.far.run(*ping)
    flow = [flow for flow in known(lab) if flow["protocol"] == "icmp"][0]
    assert flow["to_responder"]["packets"] == flow["to_initiator"]["packets"] == 12
    assert report(lab)["flow_table"]["flows"] >= 1


def test_a_restart_ends_what_nobody_wants(counted):
    def counting() -> bool:
        return "zsync_flows_out" in counted.near.run("bpftool", "net", "show", "dev", counted.near.ifname).stdout

    assert counting()
    counted.stop_daemon()
    assert counting()
    counted.start_daemon()
    wait_until("the end of the counting", lambda: not counting())


def test_a_syn_flood_leaves_the_connection_its_place(counted):
    near, far = counted.near, counted.far
    with near.socket(socket.AF_INET, socket.SOCK_STREAM) as listener, far.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        listener.bind((near.v4, 8080))
        listener.listen()
        client.connect((near.v4, 8080))
        with listener.accept()[0] as peer:
            client.sendall(b"before")
            peer.recv(64)
            words = ["hping3", "-q", "-c", "40000", "-i", "u1", "-S", "--rand-source", "-p", "9", near.v4]
            far.run("timeout", "20", *words, check=False)
            client.sendall(b"after")
            assert peer.recv(64) == b"after"
            ends = (far.v4, client.getsockname()[1])
            connection = [flow for flow in known(counted) if (flow["source"], flow.get("source_port")) == ends]
    assert [flow["state"] for flow in connection] == ["established"]
    assert report(counted)["flow_table"]["unanswered"] <= 32_768


def options(lab) -> dict:
    return lab.property("FlowOptions", "/org/zsync1/packet", "org.zsync1.Packet")


def datagram(lab, port: int) -> None:
    with lab.far.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.bind((lab.far.v4, port))
        out.sendto(PAYLOAD, (lab.near.v4, DROPPED_PORT))


def test_limits_and_times_of_flows_are_configured_and_hold_after_a_reload(counted):
    assert options(counted)["flows_max"] == 65_536 and options(counted)["unanswered_max"] == 32_768
    datagram(counted, 4000)
    wait_until("the flow", lambda: [flow["source_port"] for flow in known(counted)] == [4000])
    # Of the same size: the table stays, with the flow that it has.
    counted.config.write_text("[packet.flows]\nunanswered_max = 2\nunanswered_seconds = 3600\n")
    counted.ctl("reload")
    assert options(counted)["unanswered_max"] == 2
    assert [flow["source_port"] for flow in known(counted)] == [4000]
    datagram(counted, 4001)
    datagram(counted, 4002)
    wait_until("a packet that gets no place", lambda: report(counted)["flow_table"]["refused"] == 1)
    assert sorted(flow["source_port"] for flow in known(counted)) == [4000, 4001]
    assert report(counted)["flow_table"]["in_flood"]
    # A flow that nobody answers has a second by now, and a moment until somebody looks.
    wait_until("the end of flood mode", lambda: not report(counted)["flow_table"]["in_flood"])
    # Of another size: an empty table takes the place of the old one.
    counted.config.write_text("[packet.flows]\nflows_max = 1024\nunanswered_seconds = 1\n")
    counted.ctl("reload")
    assert options(counted)["unanswered_max"] == 512
    assert report(counted)["flow_table"]["flows"] == 0
    datagram(counted, 4003)
    wait_until("the flow", lambda: report(counted)["flow_table"]["flows"] == 1)
    wait_until("its end", lambda: report(counted)["flow_table"]["timed_out"] == 1)
    shown = counted.near.run("bpftool", "-j", "map", "show").stdout
    assert [m["max_entries"] for m in json.loads(shown) if m.get("name") == "zsync_flows"].count(2048) >= 1


def test_wrong_options_of_flows_are_refused_and_nothing_changes(counted):
    before = options(counted)
    counted.config.write_text("[packet.flows]\nflows_max = 1023\n")
    answer = counted.ctl("reload", check=False)
    assert answer.code != 0
    assert "zsyncd.toml:2:13: error: flows_max is out of range; hint: from 1024 to 1048576" in answer.err + counted.log()
    assert options(counted) == before
