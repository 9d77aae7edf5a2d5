"""Captures of every form give the same analysis; what is broken is named with its offset."""

import struct
import subprocess

import pytest
from conftest import CAPTURES

WEB = CAPTURES / "web.pcap"
PCAP_HEADER_BYTES = 24
PCAP_RECORD_BYTES = 16


def converted(path, *options: str):
    """A capture as editcap writes it."""
    subprocess.run(["editcap", *options, str(WEB), str(path)], check=True, capture_output=True)
    return path


def records(raw: bytes):
    at = PCAP_HEADER_BYTES
    while at < len(raw):
        header = struct.unpack_from("<IIII", raw, at)
        at += PCAP_RECORD_BYTES
        yield header, raw[at : at + header[2]]
        at += header[2]


def big_endian_pcap(raw: bytes) -> bytes:
    out = struct.pack(">IHHiIII", *struct.unpack_from("<IHHiIII", raw))
    for header, data in records(raw):
        out += struct.pack(">IIII", *header) + data
    return out


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = 12 + len(body)
    return struct.pack(order + "II", kind, length) + body + struct.pack(order + "I", length)


def pcapng(raw: bytes, order: str, exponent: int = 6, simple: bool = False, link_type: int = 1) -> bytes:
    """A pcapng file written from the draft: unknown blocks, options, a chosen clock."""
    section = struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)
    out = block(order, 0x0A0D0D0A, section)
    out += block(order, 0x0BAD, b"a block of a kind that nobody knows")
    options = struct.pack(order + "HHB3xHH", 9, 1, exponent, 0, 0)
    out += block(order, 1, struct.pack(order + "HHI", link_type, 0, 0) + options)
    for (seconds, micros, captured, wire), data in records(raw):
        if simple:
            out += block(order, 3, struct.pack(order + "I", wire) + data)
            continue
        ticks = (seconds * 10**6 + micros) * 10**exponent // 10**6
        out += block(order, 6, struct.pack(order + "IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, captured, wire) + data)
    return out


def essence(report: dict, times: bool = True) -> dict:
    """A report without what depends on the file's form, and the estimates that a random seed sways."""
    kept = {key: value for key, value in report.items() if key not in ("capture", "spread", "sources")}
    if not times:
        kept = {"packets": kept["packets"], "bytes": kept["bytes"], "protocols": kept["protocols"]}
    return kept


@pytest.fixture(scope="module")
def expected(replay):
    done = replay(WEB)
    assert done.code == 0 and done.report["packets"] > 100
    return essence(done.report)


@pytest.mark.parametrize(
    "options",
    [["-F", "pcapng"], ["-F", "nsecpcap"], ["-F", "pcap"]],
    ids=lambda options: options[1],
)
def test_what_editcap_writes_is_read(replay, expected, tmp_path, options):
    done = replay(converted(tmp_path / "capture", *options))
    assert done.code == 0, done.errors
    assert done.report["capture"]["format"] == ("pcapng" if options[1] == "pcapng" else "pcap")
    assert essence(done.report) == expected


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("exponent", [6, 9, 3], ids=["us", "ns", "ms"])
def test_pcapng_of_both_byte_orders_and_any_clock(replay, expected, tmp_path, order, exponent):
    path = tmp_path / "capture"
    path.write_bytes(pcapng(WEB.read_bytes(), order, exponent))
    done = replay(path)
    assert done.code == 0, done.errors
    assert essence(done.report, exponent >= 6) == essence(expected, exponent >= 6)


def test_big_endian_pcap(replay, expected, tmp_path):
    path = tmp_path / "capture"
    path.write_bytes(big_endian_pcap(WEB.read_bytes()))
    assert essence(replay(path).report) == expected


def test_simple_packet_blocks(replay, expected, tmp_path):
    path = tmp_path / "capture"
    path.write_bytes(pcapng(WEB.read_bytes(), "<", simple=True))
    assert essence(replay(path).report, False) == essence(expected, False)


def test_sections_follow_each_other(replay, tmp_path):
    path = tmp_path / "capture"
    path.write_bytes(pcapng(WEB.read_bytes(), "<") + pcapng(WEB.read_bytes(), ">", 9))
    assert replay(path).report["packets"] == 2 * len(list(records(WEB.read_bytes())))


def test_raw_ip(replay, expected, tmp_path):
    done = replay(converted(tmp_path / "capture", "-F", "pcap", "-C", "14", "-T", "rawip"))
    ours = {(f["source_port"], f["application"], f.get("ja4")) for f in done.report["flows"]["list"]}
    assert ours == {(f["source_port"], f["application"], f.get("ja4")) for f in expected["flows"]["list"]}


@pytest.mark.parametrize("name", ["sll", "sll2"])
def test_linux_cooked(replay, name):
    report = replay(CAPTURES / f"{name}.pcap").report
    assert {flow["protocol"] for flow in report["flows"]["list"]} == {"icmp", "udp"}
    question = report["messages"]["list"][0]["questions"][0]
    assert question == {"name": f"{name}.example.test", "type": "A"}


def test_standard_input(replay, expected):
    assert essence(replay("-", input=WEB.read_bytes()).report) == expected


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_a_capture_that_breaks_off_is_analysed_as_far_as_it_goes(replay, tmp_path, form):
    raw = WEB.read_bytes() if form == "pcap" else pcapng(WEB.read_bytes(), "<")
    path = tmp_path / "capture"
    path.write_bytes(raw[:-5])
    done = replay(path)
    assert done.code == 1
    assert done.report["packets"] == len(list(records(WEB.read_bytes()))) - 1
    assert "the file ends inside a " in done.errors and f"{path}: offset " in done.errors
    assert done.report["capture"]["complaint"] in done.errors


@pytest.mark.parametrize(
    "raw, words",
    [
        (b"", "offset 0: the file is empty"),
        (b"\xa1", "offset 0: 1 bytes are no capture"),
        (b"hello, world of files", "offset 0: 0x68656c6c begins neither pcap nor pcapng"),
        (b"\xd4\xc3\xb2\xa1\x02\0\x04\0", "the file ends inside the file header"),
        (struct.pack("<IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 0, 1), "Kuznetzov"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 1, 9, 0, 0, 0, 1), "offset 4: pcap version 1.9"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, 195), "offset 20: link type 195 is not read"),
        (struct.pack("<IHHiIIIIIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, 1, 0, 0, 262145, 262145), "offset 32: packet 1 has 262145"),
        (b"\x0a\x0d\x0d\x0a" + bytes(24), "offset 8: 0x00000000 is no byte-order magic"),
        (block("<", 0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 2, 0, -1)), "offset 12: pcapng version 2"),
        (pcapng(b"", "<", link_type=1) + block("<", 6, struct.pack("<IIIII", 7, 0, 0, 0, 0)), "interface 7, which is not described"),
        (pcapng(b"", "<", link_type=1) + block("<", 6, struct.pack("<IIIII", 0, 0, 0, 9, 9)), "has 9 captured bytes, its block 0"),
        (pcapng(b"", "<", link_type=195) + block("<", 6, struct.pack("<IIIII", 0, 0, 0, 0, 0)), "link type 195"),
        (pcapng(b"", "<")[:-4] + b"\0\0\0\0", "is repeated as 0: the file is damaged"),
        (pcapng(b"", "<") + struct.pack("<II", 6, 13), "block length 13"),
    ],
)  # fmt: skip
def test_what_is_no_capture_is_refused_with_its_offset(replay, tmp_path, raw, words):
    path = tmp_path / "capture"
    path.write_bytes(raw)
    done = replay(path)
    assert done.code == 1 and done.report is None
    assert words in done.errors


def test_a_pipe_is_refused_on_the_bus_itself(service):
    words = ["sh", "-c", f"sleep 0 | busctl --address={service.address} call org.zsync1 /org/zsync1/packet "
             "org.zsync1.Packet Replay hsa{sv} 0 pipe 0"]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    assert done.returncode != 0


def test_no_job_is_left(replay, service, tmp_path):
    path = tmp_path / "capture"
    path.write_bytes(b"nonsense")
    replay(path)
    replay(WEB)
    assert service.property("Jobs") == "a(ussso) 0"
