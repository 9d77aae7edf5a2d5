#!/usr/bin/env python3
"""Makes the captures of this folder anew: real programs in two network namespaces, recorded by tcpdump.

Run it as root inside `./dev exec`: `./dev exec python3 tests/packet/analysis/captures/make.py [NAME...]`. The tests read what is
checked in, so that they see the same packets each time.
"""

import contextlib
import pathlib
import socket
import subprocess
import sys
import time

from scapy.layers.dns import DNS, DNSQR, DNSRROPT
from scapy.layers.inet import IP, UDP

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "netns"))

from lab import Lab, wait_until  # noqa: E402

SETTLE_SECONDS = 0.5  # for the last packets to be recorded


@contextlib.contextmanager
def recorded(lab: Lab, name: str, *options: str, interface: str | None = None):
    """Records the near interface, or another one there, while the block runs."""
    with lab.near.recorded(HERE / f"{name}.pcap", *options, ifname=interface):
        yield
        time.sleep(SETTLE_SECONDS)


@contextlib.contextmanager
def running(side, *command: str, port: int | None = None, udp: bool = False):
    """A server in a namespace, once it listens."""
    server = side.start(*command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if port is not None:
            kind = "-Huln" if udp else "-Htln"
            wait_until(f"port {port}", lambda: side.run("ss", kind, f"sport = :{port}").stdout)
        yield server
    finally:
        server.kill()
        server.wait()


def quietly(side, *command: str, **options) -> None:
    side.run(*command, check=False, **options)


def web(lab: Lab) -> None:
    key, certificate = lab.folder / "key.pem", lab.folder / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    lab.near.run(*make, "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=www.example.test")
    folder = lab.folder / "www"
    folder.mkdir()
    (folder / "index.html").write_text("hello\n" * 200)
    tls = ["openssl", "s_server", "-accept", "443", "-key", str(key), "-cert", str(certificate), "-www", "-quiet"]
    plain = ["busybox", "httpd", "-f", "-p", "80", "-h", str(folder)]
    far, near = lab.far, lab.near
    with running(far, *tls, port=443), running(far, *plain, port=80), recorded(lab, "web"):
        for name, address in (("www.example.test", far.v4), ("ipv6.example.test", f"[{far.v6}]")):
            place = f"{name}:443:{address}"
            quietly(near, "curl", "-sk", "--resolve", place, f"https://{name}/")
            quietly(near, "curl", "-s", "--resolve", f"{name}:80:{address}", f"http://{name}/index.html?from=curl")
        quietly(near, "curl", "-sk", "--tls-max", "1.2", "--no-alpn", f"https://{far.v4}/")
        hello = ["openssl", "s_client", "-connect", f"{far.v4}:443", "-servername", "alpn.example.test", "-alpn", "h2,spdy/3"]
        quietly(near, *hello, input="Q\n")


def dns(lab: Lab) -> None:
    far, near = lab.far, lab.near
    records = ["--address=/www.example.test/192.0.2.1", "--address=/www.example.test/2001:db8::1", "--local=/test/"]
    records += ["--txt-record=text.example.test,some words", "--mx-host=example.test,mail.example.test,10"]
    records += ["--cname=alias.example.test,host.example.test", "--host-record=host.example.test,192.0.2.7"]
    server = ["dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root", *records]
    with running(far, *server, f"--pid-file={lab.folder}/dnsmasq.pid", port=53, udp=True), recorded(lab, "dns"):
        questions = ["www.example.test A", "www.example.test AAAA", "text.example.test TXT", "example.test MX"]
        questions += ["alias.example.test A", "nothing.example.test A", "WwW.ExAmPlE.tEsT A", "7.2.0.192.in-addr.arpa PTR"]
        for question in questions:
            quietly(near, "dig", "+tries=1", "+time=2", f"@{far.v4}", *question.split())
        quietly(near, "dig", "+tcp", "+tries=1", "+time=2", f"@{far.v6}", "www.example.test", "A", "text.example.test", "TXT")
        quietly(near, "dig", "+noedns", "+tries=1", "+time=2", f"@{far.v6}", "over.example.com", "HTTPS")


def icmp(lab: Lab) -> None:
    far, near = lab.far, lab.near
    with recorded(lab, "icmp"):
        quietly(near, "ping", "-c", "3", "-i", "0.2", far.v4)
        quietly(near, "ping", "-c", "3", "-i", "0.2", far.v6)
        quietly(near, "dig", "+tries=1", "+time=1", f"@{far.v4}", "closed.example.test")
        quietly(near, "dig", "+tries=1", "+time=1", f"@{far.v6}", "closed.example.test")


def dhcp(lab: Lab) -> None:
    far, near = lab.far, lab.near
    server = ["dnsmasq", "--no-daemon", "--port=0", "--conf-file=/dev/null", "--user=root", "--dhcp-authoritative"]
    server += [f"--interface={far.ifname}", "--dhcp-range=10.78.0.50,10.78.0.60,1h", f"--pid-file={lab.folder}/dnsmasq.pid"]
    server += [f"--dhcp-leasefile={lab.folder}/leases", "--no-ping"]
    with running(far, *server, port=67, udp=True), recorded(lab, "dhcp"):
        client = ["busybox", "udhcpc", "-i", near.ifname, "-n", "-q", "-f", "-t", "3", "-T", "1", "-s", "/bin/true"]
        quietly(near, *client, "-x", "hostname:printer-7")


def quic(lab: Lab) -> None:
    far, near = lab.far, lab.near
    with running(far, "nc", "-6", "-ulk", "443", port=443, udp=True), recorded(lab, "quic", "udp port 443"):
        client = ["timeout", "1", "openssl", "s_client", "-quic", "-alpn", "h3", "-servername", "quic.example.test"]
        quietly(near, *client, "-connect", f"[{far.v6}]:443")
        quietly(near, *client, "-connect", f"[{far.v6}]:443")


def cooked(lab: Lab) -> None:
    for name, link_type in (("sll", "LINUX_SLL"), ("sll2", "LINUX_SLL2")):
        with recorded(lab, name, "-y", link_type, "icmp or udp", interface="any"):
            quietly(lab.near, "ping", "-c", "1", lab.far.v4)
            quietly(lab.near, "dig", "+tries=1", "+time=1", f"@{lab.far.v4}", f"{name}.example.test")


# Attacks. Each is bounded, and kept compressed.


def scan_syn(lab: Lab) -> None:
    with running(lab.far, "busybox", "httpd", "-f", "-p", "80", "-h", "/", port=80), recorded(lab, "scan_syn"):
        quietly(lab.near, "nmap", "-n", "-Pn", "-sS", "--top-ports", "100", lab.far.v4)


def scan_connect(lab: Lab) -> None:
    with recorded(lab, "scan_connect"):
        quietly(lab.near, "nmap", "-n", "-Pn", "-6", "-sT", "--top-ports", "60", lab.far.v6)


def scan_udp(lab: Lab) -> None:
    with recorded(lab, "scan_udp"):
        quietly(lab.near, "nmap", "-n", "-Pn", "-sU", "--top-ports", "40", "--max-retries", "0", lab.far.v4)


def sweep_arp(lab: Lab) -> None:
    with recorded(lab, "sweep_arp"):
        quietly(lab.near, "nmap", "-n", "-sn", "10.78.0.0/26")


def sweep_port(lab: Lab) -> None:
    lab.near.ip("route", "add", "10.79.0.0/16", "via", lab.far.v4)
    with recorded(lab, "sweep_port"):
        quietly(lab.near, "nmap", "-n", "-Pn", "-sS", "-p", "22", "--max-retries", "0", "10.79.0.0/26")


def sweep_echo(lab: Lab) -> None:
    lab.near.ip("route", "add", "10.79.0.0/16", "via", lab.far.v4)
    with recorded(lab, "sweep_echo"):
        quietly(lab.near, "nmap", "-n", "-sn", "-PE", "--max-retries", "0", "10.79.0.0/26")


def flood(lab: Lab, name: str, *options: str, count: int, address: str | None = None) -> None:
    with recorded(lab, name, "-s", "96"):
        quietly(lab.near, "hping3", "-q", "-c", str(count), *options, address or lab.far.v4)


def flood_syn(lab: Lab) -> None:
    flood(lab, "flood_syn", "-S", "-p", "80", "-i", "u1000", "--rand-source", count=900)


def flood_syn_one_source(lab: Lab) -> None:
    lab.far.run("nft", "add table t; add chain t c { type filter hook input priority 0; }; add rule t c tcp dport 80 drop")
    flood(lab, "flood_syn_one_source", "-S", "-p", "80", "-i", "u1000", count=900)


def flood_udp(lab: Lab) -> None:
    lab.far.run("nft", "add table t; add chain t c { type filter hook input priority 0; }; add rule t c udp dport 9 drop")
    flood(lab, "flood_udp", "--udp", "-p", "9", "-i", "u200", count=2500)


def flood_icmp(lab: Lab) -> None:
    flood(lab, "flood_icmp", "--icmp", "-i", "u200", count=700)


def reflection_ntp(lab: Lab) -> None:
    flood(lab, "reflection_ntp", "--udp", "-s", "123", "-k", "-p", "40000", "-d", "440", "-i", "u2000", count=200)


def reflection_memcached(lab: Lab) -> None:
    options = ["--udp", "-s", "11211", "-k", "-p", "40000", "-d", "1400", "-i", "u2000"]
    flood(lab, "reflection_memcached", *options, count=200)


def reflection_dns(lab: Lab) -> None:
    """A DNS server's long answers to questions that somebody else asked in the near end's name."""
    far = lab.far
    far.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.lo.rp_filter=0")
    asked = DNS(rd=1, qd=DNSQR(qname="long.example.test", qtype="TXT"), ar=DNSRROPT(rclass=4096))
    question = IP(src=lab.near.v4, dst=far.v4) / UDP(sport=40000, dport=53) / asked
    with running(far, *long_answers(lab), port=53, udp=True), recorded(lab, "reflection_dns"):
        with far.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as forger:
            for _ in range(200):
                forger.sendto(bytes(question), (far.v4, 0))
                time.sleep(0.002)


def long_answers(lab: Lab) -> list[str]:
    """A DNS server with much to say about one name."""
    text = ",".join("x" * 250 for _ in range(4))
    server = ["dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root"]
    return [*server, f"--txt-record=long.example.test,{text}", "--edns-packet-max=4096", f"--pid-file={lab.folder}/dnsmasq.pid"]


def amplification(lab: Lab) -> None:
    """A DNS server that gives long answers, asked in quick succession."""
    questions = lab.folder / "questions"
    questions.write_text("long.example.test TXT\n" * 400)
    with running(lab.far, *long_answers(lab), port=53, udp=True), recorded(lab, "amplification", "-s", "96"):
        quietly(lab.near, "dig", f"@{lab.far.v4}", "+notcp", "+tries=1", "+time=1", "+noall", "-f", str(questions))


def brute_force(lab: Lab) -> None:
    with running(lab.far, "busybox", "telnetd", "-F", "-p", "23", "-l", "/bin/cat", port=23), recorded(lab, "brute_force"):
        for guess in range(20):
            quietly(lab.near, "nc", "-q", "0", "-w", "1", lab.far.v4, "23", input=f"admin\nguess{guess}\n".encode(), text=False)


def tunnel_iodine(lab: Lab) -> None:
    server = ["iodined", "-f", "-c", "-P", "secret", "-d", "dnss0", "172.31.9.1/27", "t.example.test"]
    client = ["iodine", "-f", "-r", "-P", "secret", "-d", "dnsc0", lab.far.v4, "t.example.test"]
    with running(lab.far, *server, port=53, udp=True), recorded(lab, "tunnel_iodine", "port", "53"):
        with running(lab.near, *client):
            wait_until("the tunnel", lambda: lab.near.run("ip", "addr", "show", "dnsc0", check=False).stdout.count("inet"))
            quietly(lab.near, "ping", "-c", "20", "-i", "0.2", "-s", "200", "172.31.9.1")


def tunnel_dns2tcp(lab: Lab) -> None:
    config = lab.folder / "dns2tcpd.conf"
    config.write_text("listen = 0.0.0.0\nport = 53\nuser = root\nchroot = /tmp\ndomain = d.example.test\nresources = web:127.0.0.1:80\n")
    (lab.folder / "page").write_text("some words that go through the tunnel\n" * 400)
    server = ["dns2tcpd", "-F", "-f", str(config)]
    client = ["dns2tcpc", "-z", "d.example.test", "-r", "web", "-l", "8888", lab.far.v4]
    far, near = lab.far, lab.near
    near.ip("link", "set", "lo", "up")
    with running(far, *server, port=53, udp=True), running(far, "busybox", "httpd", "-f", "-p", "80", "-h", str(lab.folder), port=80):
        with recorded(lab, "tunnel_dns2tcp", "port", "53"), running(near, *client, port=8888):
            quietly(near, "curl", "-s", "-m", "8", "http://127.0.0.1:8888/page")


def beacon(lab: Lab) -> None:
    folder = lab.folder / "www"
    folder.mkdir()
    (folder / "task").write_text("sleep\n")
    with running(lab.far, "busybox", "httpd", "-f", "-p", "80", "-h", str(folder), port=80), recorded(lab, "beacon"):
        for beat in range(12):
            begin = time.monotonic()
            quietly(lab.near, "curl", "-s", f"http://{lab.far.v4}/task")
            time.sleep(max(0.0, begin + 1 - time.monotonic()))


def bogon(lab: Lab) -> None:
    flood(lab, "bogon", "-S", "-p", "80", "-a", "240.1.2.3", "-i", "u10000", count=5)


ORDINARY = (web, dns, icmp, dhcp, quic, cooked)
ATTACKS = (
    scan_syn, scan_connect, scan_udp, sweep_arp, sweep_port, sweep_echo, flood_syn, flood_syn_one_source, flood_udp,
    flood_icmp, reflection_dns, reflection_ntp, reflection_memcached, amplification, brute_force, tunnel_iodine, tunnel_dns2tcp,
    beacon, bogon,
)  # fmt: skip


def main() -> None:
    makers = {maker.__name__: maker for maker in ORDINARY + ATTACKS}
    for name in sys.argv[1:] or makers:
        with Lab(daemon=False) as lab:
            makers[name](lab)
        if makers[name] in ATTACKS:
            subprocess.run(["gzip", "-9nf", str(HERE / f"{name}.pcap")], check=True)
    for path in sorted(HERE.glob("*.pcap*")):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
