"""What flows carry, read on an interface: names in hellos and requests, whatever the kernel merges on the way."""

import collections
import contextlib
import pathlib
import socket
import sys
import threading

import pytest
from frames import TCP, Dot1Q, Frames, Raw
from lab import Lab, wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "packet" / "analysis"))

import peers  # noqa: E402

LIVE_PACKET_BYTES = 4096  # limits.hpp
HEADER_BYTES = 66  # Ethernet, IPv4, and TCP with its time stamps
YOUNG_PACKETS = 8
PORT = 8080
HELLO_FIELDS = ["tls.handshake.extensions_server_name", "tls.handshake.extensions_alpn_str", "tls.handshake.ja4"]


@pytest.fixture(params=["on", "off"])
def offloads(request):
    return request.param


@pytest.fixture
def analysed(offloads):
    with Lab() as lab:
        for side in (lab.near, lab.far):
            words = [word for name in ("tx", "tso", "gso", "gro") for word in (name, offloads)]
            side.run("ethtool", "-K", side.ifname, *words)
        lab.attach()
        lab.ctl("packet", "analyse", lab.near.ifname)
        yield lab


def flows(lab, application: str) -> list[dict]:
    report = lab.json("flows", lab.near.ifname)
    return [flow for flow in report["flows"]["list"] if flow.get("application") == application]


@contextlib.contextmanager
def tls_server(lab, side):
    key, certificate = lab.folder / "key.pem", lab.folder / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    side.run(*make, "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=www.example.test")
    words = ["openssl", "s_server", "-accept", "443", "-key", str(key), "-cert", str(certificate), "-www", "-quiet"]
    server = side.start(*words, stdin=-3, stdout=-3, stderr=-3)
    try:
        wait_until("the server", lambda: side.run("ss", "-Htln", "sport = :443").stdout)
        yield
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("client", ["near", "far"])
def test_names_in_a_clients_hello_are_tsharks(analysed, client, tmp_path):
    """OpenSSL's hello, with its post-quantum key share, is larger than a frame; the kernel merges its segments."""
    ours = getattr(analysed, client)
    theirs = analysed.far if client == "near" else analysed.near
    wire = tmp_path / "wire.pcap"
    names = [f"{word}.example.test" for word in ("one", "two")]
    with tls_server(analysed, theirs), analysed.near.recorded(wire):
        for name in names:
            words = ["openssl", "s_client", "-connect", f"{theirs.v4}:443", "-servername", name, "-alpn", "h2,http/1.1"]
            ours.run(*words, input="Q\n", check=False)
        wait_until("both hellos", lambda: len(peers.tshark(wire, "tls.handshake.type == 1", "frame.number")) == 2)
    found = collections.Counter(
        (flow["server_name"], ",".join(flow["alpn"]), flow["ja4"]) for flow in wait_until("flows", lambda: flows(analysed, "tls"))
    )
    assert sorted(name for name, _, _ in found) == names
    assert found == collections.Counter(peers.tshark(wire, "tls.handshake.type == 1", *HELLO_FIELDS))
    if client == "near":  # at the hook that sends, the kernel has not cut it up yet, offloads or not
        assert max(flow["to_responder"]["frame_bytes_max"] for flow in flows(analysed, "tls")) > 1514


def serve(side, connections: int) -> threading.Thread:
    """Takes connections and reads each to its end."""
    listener = side.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.settimeout(10)
    listener.bind((side.v4, PORT))
    listener.listen()

    def run():
        with listener:
            for _ in range(connections):
                with listener.accept()[0] as peer, contextlib.suppress(ConnectionResetError):
                    while peer.recv(1 << 16):
                        pass

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def request_of(host: str, frame_bytes: int) -> bytes:
    """A request that fills a frame of so many bytes, its headers included."""
    begin = b"GET / HTTP/1.1\r\nPad: "
    end = f"\r\nHost: {host}\r\n".encode()  # its last line, which tells nothing without its last byte
    return begin + b"x" * (frame_bytes - HEADER_BYTES - len(begin) - len(end)) + end


@pytest.mark.parametrize("offloads", ["on"], indirect=True)
def test_a_merged_packet_is_seen_up_to_its_limit(analysed):
    server = serve(analysed.far, 2)
    for host, frame_bytes in (("limit.test", LIVE_PACKET_BYTES), ("over.test", LIVE_PACKET_BYTES + 1)):
        with analysed.near.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.connect((analysed.far.v4, PORT))
            client.sendall(request_of(host, frame_bytes))
    server.join()
    sizes = [flow["to_responder"]["frame_bytes_max"] for flow in analysed.json("flows", analysed.near.ifname)["flows"]["list"]]
    # As the wire will have it: in three packets with headers each.
    assert sorted(sizes) == [LIVE_PACKET_BYTES + 2 * HEADER_BYTES, LIVE_PACKET_BYTES + 1 + 2 * HEADER_BYTES]
    assert [flow["host"] for flow in flows(analysed, "http")] == ["limit.test"]


def connection(frames, host: str, begin: int) -> list[bytes]:
    """What a client sends in a connection that it resets in the end, in more packets than are young."""
    request, here = request_of(host, 600), {"sport": 40_000, "dport": PORT}
    said = [frames.v4(TCP(**here, flags="S", seq=begin - 1))]
    for number in range(2 * YOUNG_PACKETS):
        place = TCP(**here, flags="PA", ack=1, seq=begin + number * len(request))
        said.append(frames.v4(place, Raw(request)))
    return [*said, frames.v4(TCP(**here, flags="RA", ack=1, seq=begin + 2 * YOUNG_PACKETS * len(request)))]


@pytest.mark.parametrize("offloads", ["off"], indirect=True)
def test_a_connection_on_the_ports_of_an_old_one_is_read_as_well(analysed):
    frames = Frames(analysed)
    for number, host in enumerate(("first.test", "second.test"), 1):
        analysed.far.send(*connection(frames, host, number << 20))
        wait_until(host, lambda: [flow["host"] for flow in flows(analysed, "http")] == [host])


@pytest.mark.parametrize("offloads", ["off"], indirect=True)
@pytest.mark.parametrize("comes", [True, False], ids=["comes", "goes"])
def test_what_a_vlan_carries_belongs_to_its_flow(analysed, comes):
    """The kernel takes the tag of what comes out of the frame, and keeps it beside it."""
    frames, begin = Frames(analysed), 1 << 20
    ports = {"sport": 40_000, "dport": PORT}
    begins = TCP(**ports, flags="S", seq=begin - 1)
    request = TCP(**ports, flags="PA", ack=1, seq=begin) / Raw(request_of("vlan.test", 600))
    sender = analysed.far if comes else analysed.near
    sender.send(*(frames.ether(Dot1Q(vlan=7), frames.ip(), layer) for layer in (begins, request)))
    (flow,) = wait_until("the flow", lambda: flows(analysed, "http"))
    assert (flow["host"], flow["vlan"], flow["to_responder"]["packets"]) == ("vlan.test", 7, 2)
    assert flow["to_responder"]["frame_bytes_max"] == len(frames.ether(Dot1Q(), frames.ip(), request))
