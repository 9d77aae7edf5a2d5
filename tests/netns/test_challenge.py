"""Rules that challenge: real clients, a flood that the socket never hears of, and hosts that take no cookies."""

import contextlib
import subprocess

from frames import IP, TCP, Ether, Frames, IPv6
from lab import wait_until

PORT = 7080
RULES = f'pass challenge proto tcp dport {PORT} name "web"\n'
PAGE_BYTES = 300_000
FLOOD = 20_000


def stats(lab) -> dict:
    return lab.stats()["hooks"][0]


def challenges(lab) -> tuple[int, int, int]:
    now = stats(lab)
    return now["challenges_sent"], now["challenges_verified"], now["challenges_refused"]


@contextlib.contextmanager
def web_server(lab, folder):
    """Debian's Python serves a page at both addresses of the near end."""
    (folder / "page").write_bytes(b"x" * PAGE_BYTES)
    words = ("python3", "-m", "http.server", str(PORT), "--bind", "::", "--directory", str(folder))
    with open(folder / "log", "wb") as log:
        server = lab.near.start(*words, stdout=log, stderr=log)
    try:
        wait_until("the server", lambda: f":{PORT}" in lab.near.run("ss", "-Hltn").stdout)
        yield
    finally:
        server.kill()
        server.wait()


def fetch(lab, address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    page = lab.far.run("curl", "-sS", "--noproxy", "*", "-m", "20", f"http://{host}:{PORT}/page").stdout
    assert len(page) == PAGE_BYTES


def half_open(lab) -> int:
    return len(lab.near.run("ss", "-Htn", "state", "syn-recv").stdout.splitlines())


def prepare(lab) -> None:
    # Where answers go by XDP_TX, the other end of a veth must take frames.
    lab.far.run("ethtool", "-K", lab.far.ifname, "gro", "on")
    lab.near.run("sysctl", "-qw", "net.ipv4.tcp_syncookies=2")


def test_clients_come_through_and_a_flood_does_not_reach_the_socket(lab, tmp_path):
    prepare(lab)
    lab.filter(RULES)
    with web_server(lab, tmp_path):
        for address in (lab.near.v4, lab.near.v6):
            before = challenges(lab)
            fetch(lab, address)
            assert [now - then for now, then in zip(challenges(lab), before, strict=True)] == [1, 1, 0]
        before = challenges(lab)
        flood = ("hping3", "-q", "-S", "-p", str(PORT), "--rand-source", "-i", "u20", "-c", str(FLOOD), lab.near.v4)
        with lab.far.start(*flood, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as attacker:
            wait_until("the flood", lambda: challenges(lab)[0] > before[0] + 100)
            fetch(lab, lab.near.v4)
            attacker.wait(timeout=60)
        sent, verified, refused = (now - then for now, then in zip(challenges(lab), before, strict=True))
        # Sources that are no host's are dropped by nobody here: each SYN is answered, and nothing is kept.
        assert (sent, verified, refused) == (FLOOD + 1, 1, 0)
        assert half_open(lab) == 0
        fetch(lab, lab.near.v4)
        fetch(lab, lab.near.v6)


def test_packets_without_a_cookie_or_a_socket(lab, tmp_path):
    prepare(lab)
    lab.filter(f"pass challenge proto tcp dport {{{PORT}, {PORT + 1}}}\n")
    frames = Frames(lab)
    with web_server(lab, tmp_path):
        fetch(lab, lab.near.v4)
        before = challenges(lab)
        lab.far.send(frames.tcp(PORT, "A"), frames.tcp(PORT, "PA", source=lab.far.v6))
        # What cannot be answered: IP options, and a SYN of two fragments.
        odd = frames.ether(IP(src=lab.far.v4, dst=lab.near.v4, options=[b"\x01"]), TCP(sport=4, dport=PORT, flags="S"))
        lab.far.send(odd)
        assert [now - then for now, then in zip(challenges(lab), before, strict=True)] == [0, 0, 3]
        # A port that nobody listens at answers as ever, and so does what is no SYN and no ACK.
        closed = lab.far.run("curl", "-sS", "--noproxy", "*", "-m", "9", f"http://{lab.near.v4}:{PORT + 1}/", check=False)
        assert closed.returncode == 7, closed.stderr  # curl: could not connect
        lab.far.send(frames.tcp(PORT, "R"), frames.tcp(PORT, "FPU"))
        assert [now - then for now, then in zip(challenges(lab), before, strict=True)] == [0, 0, 3]
        fetch(lab, lab.near.v6)


def test_the_answer_is_whole(lab, tmp_path):
    """What the far end gets for a SYN, as scapy reads it: checksums, numbers and the MSS of the client."""
    prepare(lab)
    lab.filter(RULES)
    frames = Frames(lab)
    with web_server(lab, tmp_path), lab.far.socket(17, 3, 0x0300) as wire:  # AF_PACKET, SOCK_RAW, ETH_P_ALL
        wire.settimeout(10)
        # The kernel's tables of what a cookie can say: the next below the client's 1400.
        for layer, mss in ((IP(src=lab.far.v4, dst=lab.near.v4), 1300), (IPv6(src=lab.far.v6, dst=lab.near.v6), 1220)):
            syn = frames.ether(layer, TCP(sport=4242, dport=PORT, seq=77, flags="S", options=[("MSS", 1400)]))
            lab.far.send(syn)
            answer = Ether(answer_of(wire))
            assert (answer.src, answer.dst) == (lab.near.mac, lab.far.mac)
            tcp = answer[TCP]
            assert (tcp.sport, tcp.dport, tcp.ack, str(tcp.flags)) == (PORT, 4242, 78, "SA")
            assert tcp.options == [("MSS", mss)] and tcp.window > 0
            written = bytes(answer)
            for part in (answer.getlayer(1), tcp):
                if hasattr(part, "chksum"):
                    del part.chksum
            assert bytes(answer) == written


def answer_of(wire) -> bytes:
    while True:
        frame = wire.recv(2048)
        for at in (14 + 20, 14 + 40):
            if frame[at : at + 4] == PORT.to_bytes(2, "big") + (4242).to_bytes(2, "big"):
                return frame


def test_a_host_that_takes_no_cookies_is_told(lab):
    prepare(lab)
    lab.attach()
    lab.near.run("sysctl", "-qw", "net.ipv4.tcp_syncookies=1")
    refused = lab.load(RULES, check=False)
    assert refused.code != 0 and "net.ipv4.tcp_syncookies is 1" in refused.err and "set it to 2" in refused.err
    lab.near.run("sysctl", "-qw", "net.ipv4.tcp_syncookies=2")
    lab.load(RULES)
    assert lab.rules()[0]["text"].startswith("pass challenge")
