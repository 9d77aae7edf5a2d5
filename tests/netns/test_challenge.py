"""Rules that challenge: real clients, a flood that the socket never hears of, and hosts that take no cookies."""

import contextlib
import itertools
import re
import signal
import socket
import subprocess

import pytest
from frames import IP, TCP, Ether, Frames, IPv6
from lab import wait_until
from traffic import SO_RCVBUFFORCE

PORT = 7080
RULES = f'pass challenge proto tcp dport {PORT} name "web"\n'
PAGE_BYTES = 300_000
FLOOD = 20_000
# What a client offers, and what it is answered besides an MSS. Without timestamps nothing can be remembered.
TIMES = ("Timestamp", (1234, 0))
SACK = ("SAckOK", b"")
OFFERS = (
    ([("MSS", 1400)], []),
    ([("MSS", 1400), SACK, ("NOP", None), ("WScale", 7)], []),
    ([("MSS", 1400), SACK, TIMES, ("NOP", None), ("WScale", 7)], [SACK, ("WScale", 10)]),
    ([("NOP", None), ("NOP", None), TIMES], []),
    ([TIMES, ("NOP", None), ("WScale", 0)], [("WScale", 10)]),
    ([SACK, TIMES], [SACK]),
)


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


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_clients_come_through_and_a_flood_does_not_reach_the_socket(lab, tmp_path, mode):
    prepare(lab)
    lab.filter(RULES, "--mode", mode)
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
    """What the far end gets for a SYN, as scapy reads it: checksums, numbers, and as options what both can."""
    prepare(lab)
    lab.filter(RULES)
    frames = Frames(lab)
    with web_server(lab, tmp_path), lab.far.socket(17, 3, 0x0300) as wire:  # AF_PACKET, SOCK_RAW, ETH_P_ALL
        wire.settimeout(10)
        v4, v6 = (IP(src=lab.far.v4, dst=lab.near.v4), 1460), (IPv6(src=lab.far.v6, dst=lab.near.v6), 1440)
        for (layer, mss), (offer, options) in itertools.product((v4, v6), OFFERS):
            lab.far.send(frames.ether(layer, TCP(sport=4242, dport=PORT, seq=77, flags="S", options=offer)))
            answer = Ether(answer_of(wire))
            assert (answer.src, answer.dst) == (lab.near.mac, lab.far.mac)
            tcp = answer[TCP]
            assert (tcp.sport, tcp.dport, tcp.ack, str(tcp.flags)) == (PORT, 4242, 78, "SA")
            told = [(name, value) for name, value in tcp.options if name not in ("NOP", "EOL", "Timestamp")]
            assert told == [("MSS", mss), *options] and tcp.window > 0
            times = dict(tcp.options).get("Timestamp")
            assert times == (times[0], 1234) if "Timestamp" in dict(offer) else times is None
            written = bytes(answer)
            for part in (answer.getlayer(1), tcp):
                if hasattr(part, "chksum"):
                    del part.chksum
            assert bytes(answer) == written


def test_the_answer_says_what_the_device_takes_by_now(lab, tmp_path):
    prepare(lab)
    lab.filter(RULES)
    frames = Frames(lab)
    with web_server(lab, tmp_path), lab.far.socket(17, 3, 0x0300) as wire:  # AF_PACKET, SOCK_RAW, ETH_P_ALL
        wire.settimeout(10)

        def told_mss() -> int:
            layer = IP(src=lab.far.v4, dst=lab.near.v4)
            lab.far.send(frames.ether(layer, TCP(sport=4242, dport=PORT, flags="S")))
            return dict(Ether(answer_of(wire))[TCP].options)["MSS"]

        assert told_mss() == 1460
        for mtu in (1280, 1400):
            lab.near.ip("link", "set", lab.near.ifname, "mtu", str(mtu))
            wait_until("the other MSS", lambda mtu=mtu: told_mss() == mtu - 40)


def answer_of(wire) -> bytes:
    while True:
        frame = wire.recv(2048)
        for at in (14 + 20, 14 + 40):
            if frame[at : at + 4] == PORT.to_bytes(2, "big") + (4242).to_bytes(2, "big"):
                return frame


def test_a_host_that_takes_no_cookies_is_told(lab):
    prepare(lab)
    lab.attach()
    lab.near.run("sysctl", "-qw", "net.ipv4.tcp_syncookies=0")
    refused = lab.load(RULES, check=False)
    assert refused.code != 0 and "net.ipv4.tcp_syncookies is 0" in refused.err and "set it to 1" in refused.err
    lab.near.run("sysctl", "-qw", "net.ipv4.tcp_syncookies=1")
    lab.load(RULES)
    assert lab.rules()[0]["text"].startswith("pass challenge")


def connected(lab, address: str) -> tuple[socket.socket, socket.socket]:
    """A client's connection with a listening socket of the near end: the client's end and the host's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with lab.near.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, PORT))
        listener.listen()
        client = lab.far.socket(family, socket.SOCK_STREAM)
        client.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        client.connect((address, PORT))
        host, _ = listener.accept()
        host.settimeout(20)
        client.settimeout(20)
        return client, host


def told_of(side, *filters: str) -> str:
    return side.run("ss", "-Htino", "state", "established", *filters).stdout


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_connections_scale_windows_acknowledge_by_parts_and_have_timestamps(lab, mode):
    prepare(lab)
    lab.filter(RULES, "--mode", mode)
    for address in (lab.near.v4, lab.near.v6):
        client, host = connected(lab, address)
        with client, host:
            for side, port, scales in ((lab.near, "sport", r"wscale:(\d+),10 "), (lab.far, "dport", r"wscale:10,(\d+) ")):
                told = told_of(side, f"{port} = :{PORT}")
                assert re.search(scales, told) and " sack " in f" {told} " and " ts " in f" {told} ", told
            # What nobody reads fills the client's window, which is more than one without scaling could be.
            host.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    sent += host.send(b"x" * 65536)
            window = wait_until(
                "a window beyond 64 KiB",
                lambda: max((int(size) for size in re.findall(r"snd_wnd:(\d+)", told_of(lab.near, f"sport = :{PORT}"))), default=0)
                > 65535,
            )
            assert window
            client.setblocking(True)
            client.settimeout(20)
            left = sent
            while left:
                left -= len(client.recv(1 << 20))
            client.sendall(b"back")
            host.setblocking(True)
            host.settimeout(20)
            assert host.recv(10) == b"back"
    assert challenges(lab) == (2, 2, 0)


def test_a_client_without_timestamps_and_a_host_that_wants_none(lab):
    """Then there is no room to remember anything in, and the connection is made all the same."""
    prepare(lab)
    lab.filter(RULES)
    for side in (lab.far, lab.near):
        side.run("sysctl", "-qw", "net.ipv4.tcp_timestamps=0")
        lab.load(RULES)
        client, host = connected(lab, lab.near.v4)
        with client, host:
            told = told_of(lab.near, f"sport = :{PORT}")
            assert "wscale" not in told and " sack" not in told and " ts " not in told, told
            client.sendall(b"there")
            assert host.recv(10) == b"there"
        side.run("sysctl", "-qw", "net.ipv4.tcp_timestamps=1")
    assert challenges(lab) == (2, 2, 0)


@pytest.mark.parametrize("setting", ["tcp_timestamps", "tcp_sack", "tcp_window_scaling", "tcp_syncookies"])
def test_connections_are_made_whatever_of_tcp_is_switched_off_later(lab, setting):
    prepare(lab)
    lab.filter(RULES)

    def connects() -> bool:
        with lab.near.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((lab.near.v4, PORT))
            listener.listen()
            listener.settimeout(0.3)
            with lab.far.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
                client.settimeout(0.3)
                with contextlib.suppress(OSError):
                    client.connect((lab.near.v4, PORT))
                    listener.accept()[0].close()
                    return True
                return False

    assert connects() and challenges(lab)[1] == 1
    lab.near.run("sysctl", "-qw", f"net.ipv4.{setting}=0")
    wait_until("a connection", connects)
    if setting == "tcp_syncookies":
        wait_until("the reason", lambda: "net.ipv4.tcp_syncookies is 0" in lab.stats()["state_reason"])
    lab.near.run("sysctl", "-qw", f"net.ipv4.{setting}=1")
    before = challenges(lab)[1]
    wait_until("a challenge", lambda: connects() and challenges(lab)[1] > before)
    wait_until("all as it was", lambda: lab.stats()["state_reason"] == "")


def test_mptcp_is_not_challenged_and_works(lab):
    prepare(lab)
    lab.filter(RULES)
    try:
        listener = lab.near.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP)
    except OSError:
        pytest.skip("needs a kernel with MPTCP (CONFIG_MPTCP)")
    with listener, lab.far.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        listener.bind((lab.near.v4, PORT))
        listener.listen()
        client.connect((lab.near.v4, PORT))
        host, _ = listener.accept()
        with host:
            client.sendall(b"there")
            assert host.recv(10) == b"there"
    assert challenges(lab) == (0, 0, 0) and stats(lab)["challenges_passed"] > 0


def test_handshakes_go_on_over_loads_and_restarts(lab):
    """A SYN answered before, its ACK after: the key stays."""
    prepare(lab)
    lab.filter(RULES)
    frames = Frames(lab)
    with lab.near.socket(socket.AF_INET, socket.SOCK_STREAM) as listener, lab.far.socket(17, 3, 0x0300) as wire:
        wire.settimeout(10)
        listener.bind((lab.near.v4, PORT))
        listener.listen()
        listener.settimeout(10)
        # The far end's own stack knows nothing of this client, and would reset what is for it.
        lab.far.run("nft", "add table inet t; add chain inet t o { type filter hook output priority 0; }")
        lab.far.run("nft", "add rule inet t o tcp flags rst drop")
        for number, between in enumerate((lambda: lab.load(RULES + "drop proto udp\n"), lambda: restart(lab))):
            layer = IP(src=lab.far.v4, dst=lab.near.v4)
            ports = {"sport": 4242, "dport": PORT}
            lab.far.send(frames.ether(layer, TCP(**ports, seq=77 + number, flags="S", options=[("MSS", 1400), SACK, TIMES])))
            answer = next(tcp for tcp in (Ether(answer_of(wire))[TCP] for _ in range(9)) if str(tcp.flags) == "SA")
            between()
            times = ("Timestamp", (1235, dict(answer.options)["Timestamp"][0]))
            lab.far.send(
                frames.ether(layer, TCP(**ports, seq=78 + number, ack=answer.seq + 1, flags="A", options=[times]))
            )
            host, _ = listener.accept()
            host.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # gone at once
            host.close()


def restart(lab) -> None:
    lab.stop_daemon(signal.SIGKILL)
    lab.start_daemon()
