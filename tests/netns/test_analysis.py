"""The traffic analysis on an interface: flows, alerts on the bus and in the log, and no cost while it is off."""

import contextlib
import json
import socket
import subprocess
import threading
import time
from signal import SIGCONT, SIGSTOP

import pytest
from lab import start, wait_until
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from test_interfaces import changed
from test_interfaces import signals as bus_signals  # noqa: F401

ALERT_SECONDS_MAX = 0.25


@pytest.fixture
def analysed(lab):
    lab.attach()
    lab.ctl("packet", "analyse", lab.near.ifname)
    return lab


@contextlib.contextmanager
def signals(lab):
    """Waits for an Alert signal of a kind; gives what it says, and the time at which it came."""
    match = "type='signal',interface='org.zsync1.PacketInterface',member='Alert'"
    words = ["timeout", "20", "busctl", f"--address={lab.bus_address}", f"--match={match}", "monitor"]
    monitor = start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "Monitoring" in monitor.stderr.readline()

    def following(kind: str) -> tuple[str, float]:
        text = ""
        for line in monitor.stdout:
            text += line
            if line == "\n" and f'STRING "{kind}"' in text:
                return text, time.time()
        raise AssertionError(f"no {kind} on the bus: {text}")

    try:
        yield following
    finally:
        monitor.kill()
        monitor.wait()


def tcx_programs(lab) -> list[dict]:
    done = lab.near.run("bpftool", "-j", "net", "show", "dev", lab.near.ifname)
    return [row for row in json.loads(done.stdout)[0]["tc"] if row["kind"].startswith("tcx")]


def flows(lab) -> list[dict]:
    return lab.json("flows", lab.near.ifname)["flows"]["list"]


def test_both_directions_of_a_ping_are_one_flow(analysed):
    analysed.far.run("ping", "-c", "3", "-i", "0.1", analysed.near.v4)
    flow = wait_until("the flow", lambda: [flow for flow in flows(analysed) if flow["protocol"] == "icmp"])[0]
    assert (flow["source"], flow["destination"]) == (analysed.far.v4, analysed.near.v4)
    assert flow["to_responder"]["packets"] == flow["to_initiator"]["packets"] == 3
    assert flow["to_responder"]["bytes"] == 3 * 98
    assert analysed.far.v4 in analysed.ctl("flows", analysed.near.ifname).out


def test_a_scan_is_on_the_bus_in_the_list_and_in_the_log(analysed):
    with signals(analysed) as following:
        analysed.far.run("nmap", "-n", "-Pn", "-sS", "--top-ports", "60", analysed.near.v4)
        signal, came = following("port_scan")
    alerts = analysed.json("alerts")
    assert [alert["kind"] for alert in alerts] == ["port_scan"]
    alert, reason = alerts[0], alerts[0]["reason"]
    assert (alert["source"], alert["destination"]) == (analysed.far.v4, analysed.near.v4)
    for value in (analysed.far.v4, analysed.near.v4, "tcp", reason):
        assert f'STRING "{value}"' in signal
    record = [line for line in analysed.log().splitlines() if f"port_scan: {reason}" in line]
    assert len(record) == 1
    assert {f"ZSYNC_INTERFACE={analysed.near.ifname}", "ZSYNC_ALERT=port_scan"} <= set(record[0].split())
    assert reason[:40] in analysed.ctl("alerts", analysed.near.ifname).out
    assert came - alert["time_us"] / 1e6 < ALERT_SECONDS_MAX


def dig(lab, count: int) -> None:
    """Questions of a client about one domain, all different and long, as a tunnel asks them."""
    with lab.far.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for number in range(count):
            question = DNS(rd=1, qd=DNSQR(qname=f"{number:030}.tunnel.test", qtype="TXT"))
            out.sendto(bytes(question), (lab.near.v4, 53))


def log_in_badly(lab, count: int) -> None:
    with lab.near.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind((lab.near.v4, 23))
        listener.listen()
        for _ in range(count):
            with lab.far.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
                client.connect((lab.near.v4, 23))
                with listener.accept()[0] as peer:
                    client.sendall(b"admin\nguess\n")
                    peer.recv(64)
                    peer.sendall(b"no\n")
                    client.recv(64)


def answer_at_length(lab, count: int) -> None:
    """A time server that has much to say to somebody who asks in quick succession."""
    with lab.near.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, lab.far.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        server.bind((lab.near.v4, 123))
        for _ in range(count):
            client.sendto(b"monlist?", (lab.near.v4, 123))
            server.sendto(bytes(1000), server.recvfrom(100)[1])
            time.sleep(0.002)


def hping(lab, *words: str) -> None:
    lab.far.run("timeout", "10", "hping3", "-q", *words, lab.near.v4, check=False)


# What raises each alert; floods last for longer than the fifth of a second that an answer may take.
AT_ONCE = {
    "icmp_flood": lambda lab: hping(lab, "--icmp", "-i", "u200", "-c", "400"),
    "udp_flood": lambda lab: hping(lab, "--udp", "-p", "4000", "-i", "u200", "-c", "2500"),
    "syn_flood": lambda lab: hping(lab, "-S", "-p", "9", "--spoof", "10.78.0.9", "-i", "u500", "-c", "1000"),
    "reflection": lambda lab: hping(lab, "--udp", "-s", "123", "-k", "-p", "4000", "-d", "440", "-i", "u1000", "-c", "200"),
    "bogon_source": lambda lab: hping(lab, "-S", "-p", "9", "-a", "240.1.2.3", "-i", "u10000", "-c", "5"),
    "dns_tunnel": lambda lab: dig(lab, 60),
    "brute_force": lambda lab: log_in_badly(lab, 20),
    "spoofed_sources": lambda lab: hping(lab, "-S", "-p", "9", "--rand-source", "-i", "u500", "-c", "1000"),
    "sweep": lambda lab: lab.far.run("nmap", "-n", "-sn", "10.78.0.0/26"),
    "amplification": lambda lab: answer_at_length(lab, 300),
}


@contextlib.contextmanager
def meanwhile(work, *args):
    thread = threading.Thread(target=work, args=args)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.mark.parametrize("kind", AT_ONCE)
def test_an_alert_is_on_the_bus_at_once(analysed, kind):
    # An error would be an answer.
    analysed.near.run("nft", "add table t; add chain t c { type filter hook input priority 0; }; add rule t c udp dport 4000 drop")
    with signals(analysed) as following, meanwhile(AT_ONCE[kind], analysed):
        _, came = following(kind)
    alert = next(alert for alert in analysed.json("alerts") if alert["kind"] == kind)
    assert came - alert["time_us"] / 1e6 < ALERT_SECONDS_MAX


def test_unusual_volume_is_told_at_once(quiet_lab):
    lab = quiet_lab
    thresholds = "volume_interval_seconds = 1\nvolume_intervals_learned = 2\nicmp_flood_per_second = 0\n"
    lab.config.write_text(f"[packet.alerts]\n{thresholds}[packet.interfaces.{lab.near.ifname}]\nanalyse_every = 1\n")
    lab.start_daemon()
    lab.far.run("ping", "-q", "-c", "40", "-i", "0.1", lab.near.v4)
    assert lab.json("alerts") == []
    burst = ["ping", "-q", "-c", "300", "-i", "0.002", "-s", "1000", lab.near.v4]
    with signals(lab) as following, meanwhile(lab.far.run, *burst):
        _, came = following("volume_anomaly")
    (alert,) = lab.json("alerts")
    assert alert["kind"] == "volume_anomaly" and alert["value"] >= alert["threshold"] == 6
    assert "are usual" in alert["reason"]
    assert came - alert["time_us"] / 1e6 < ALERT_SECONDS_MAX


def test_a_beacon_is_told_at_once(quiet_lab):
    lab = quiet_lab
    thresholds = "beacon_interval_seconds_min = 0.2\nbeacon_jitter_max = 0.3\n"
    lab.config.write_text(f"[packet.alerts]\n{thresholds}[packet.interfaces.{lab.near.ifname}]\nanalyse_every = 1\n")
    lab.start_daemon()

    def beat() -> None:
        with lab.near.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.bind((lab.near.v4, 8080))
            listener.listen()
            begin = time.monotonic()
            for number in range(1, 13):
                with lab.far.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
                    client.connect((lab.near.v4, 8080))
                    listener.accept()[0].close()
                time.sleep(max(0.0, begin + 0.3 * number - time.monotonic()))

    with signals(lab) as following, meanwhile(beat):
        _, came = following("beacon")
    alert = next(alert for alert in lab.json("alerts") if alert["kind"] == "beacon")
    assert came - alert["time_us"] / 1e6 < ALERT_SECONDS_MAX


def test_ordinary_traffic_raises_nothing(analysed):
    analysed.far.run("ping", "-c", "5", "-i", "0.1", analysed.near.v6)
    analysed.far.run("nc", "-z", "-w", "1", analysed.near.v4, "80", check=False)
    assert analysed.json("alerts") == []


def test_nothing_is_attached_while_it_is_off(analysed):
    assert len(tcx_programs(analysed)) == 3
    analysed.ctl("packet", "analyse", analysed.near.ifname, "--off")
    assert tcx_programs(analysed) == []
    refused = analysed.ctl("flows", analysed.near.ifname, check=False)
    assert refused.code == 1 and "is not analysed" in refused.err


def test_detach_ends_it(analysed):
    analysed.ctl("packet", "detach", analysed.near.ifname)
    wait_until("the end of the tap", lambda: tcx_programs(analysed) == [])


def test_a_device_that_comes_back_is_analysed_again(analysed):
    analysed.far.ip("link", "del", analysed.far.ifname)
    wait_until("the end", lambda: analysed.property("State") == "absent")
    analysed.make_link()
    wait_until("the new device", lambda: analysed.property("State") == "attached")
    wait_until("its tap", lambda: len(tcx_programs(analysed)) == 3)


def renamed(lab) -> str:
    """Gives the near end of the link another name while it is up."""
    old = lab.near.ifname
    lab.near.ifname = old.replace("zn", "zr", 1)
    lab.near.ip("link", "set", old, "name", lab.near.ifname)
    wait_until("the new name", lambda: lab.ctl("packet", "stats", lab.near.ifname, check=False).code == 0)
    return old


def test_a_device_that_is_renamed_is_analysed_on(analysed):
    analysed.far.run("nmap", "-n", "-Pn", "-sS", "--top-ports", "60", analysed.near.v4)
    wait_until("the scan", lambda: analysed.json("alerts"))
    table = analysed.json("flows", analysed.near.ifname)["flow_table"]
    old = renamed(analysed)
    wait_until("the analysis", lambda: analysed.property("SampleEvery") == 1)
    assert [alert["kind"] for alert in analysed.json("alerts", analysed.near.ifname)] == ["port_scan"]
    assert analysed.json("flows", analysed.near.ifname)["flow_table"]["flows"] >= table["flows"] > 0
    assert analysed.ctl("flows", old, check=False).code == 1
    analysed.far.run("ping", "-q", "-c", "300", "-l", "300", analysed.near.v4)
    wait_until("an alert", lambda: "icmp_flood" in {alert["kind"] for alert in analysed.json("alerts")})
    assert f"{analysed.near.ifname}: icmp_flood" in analysed.log()
    analysed.ctl("packet", "analyse", analysed.near.ifname, "--off")
    assert tcx_programs(analysed) == []


def test_configuration_asks_for_it_and_sets_thresholds(quiet_lab):
    lab = quiet_lab
    lab.config.write_text(
        f"[packet.interfaces.{lab.near.ifname}]\nanalyse_every = 1\n[packet.alerts]\nicmp_flood_per_second = 5\n"
    )
    lab.start_daemon()
    assert lab.property("SampleEvery") == 1
    lab.far.run("ping", "-c", "8", "-i", "0.02", lab.near.v4)
    wait_until("the alert", lambda: [alert["kind"] for alert in lab.json("alerts")] == ["icmp_flood"])


def test_an_alerts_source_is_dropped_for_a_time_where_that_is_asked_for(quiet_lab):
    lab = quiet_lab
    ifname = lab.near.ifname
    lab.config.write_text(f"[packet.alerts]\ndrop_source_seconds = 60\n[packet.interfaces.{ifname}]\nanalyse_every = 1\n")
    lab.start_daemon()
    lab.far.run("ping", "-c1", "-W2", lab.near.v4)
    before = time.time()
    lab.far.run("nmap", "-n", "-Pn", "-sS", "--top-ports", "60", lab.near.v4)
    rule = wait_until("the rule", lambda: lab.stats()["temporary"])[0]
    assert rule["rule"] == f"drop from {lab.far.v4}"
    assert before + 60 <= rule["expires_at_us"] / 1e6 <= time.time() + 60
    assert lab.far.run("ping", "-c1", "-W1", lab.near.v4, check=False).returncode == 1
    lab.ctl("packet", "rule", "remove", ifname, rule["rule"])
    lab.far.run("ping", "-c1", "-W2", lab.near.v4)


def test_sources_of_many_alerts_are_dropped_by_few_loads(lab, bus_signals):
    sources = 300
    lab.config.write_text(
        "[packet.alerts]\ndrop_source_seconds = 60\nspoofed_sources_per_second = 0\nsyn_flood_per_second = 0\n"
    )
    lab.ctl("reload")
    lab.attach()
    lab.ctl("packet", "analyse", lab.near.ifname)
    frame = bytes(Ether(dst=lab.near.mac, src=lab.far.mac) / IP(dst=lab.near.v4) / TCP(flags="S"))
    scan = [
        frame[:26] + bytes((10, 78, 1 + i // 200, i % 200)) + frame[30:36] + port.to_bytes(2) + frame[38:]
        for i in range(sources)
        for port in range(1, 31)
    ]
    lab.far.send(*scan)
    wait_until("all rules", lambda: len(lab.stats()["temporary"]) == sources)
    lab.ctl("packet", "analyse", lab.near.ifname, "--off")
    wait_until("all signals", lambda: changed(bus_signals, "SampleEvery") == [1, 0])
    assert 1 <= len(changed(bus_signals, "TemporaryRules")) <= sources / 4


def test_sources_of_alerts_beyond_the_limit_are_counted_and_said_once(lab, bus_signals):
    limit, sources = 1024, 1100
    lab.config.write_text(
        "[packet.alerts]\ndrop_source_seconds = 600\nport_scan_ports = 2\n"
        "spoofed_sources_per_second = 0\nsyn_flood_per_second = 0\nsweep_hosts = 0\n"
    )
    lab.ctl("reload")
    lab.attach()
    assert lab.stats()["sources_left_out"] == 0
    lab.ctl("packet", "analyse", lab.near.ifname)
    frame = bytes(Ether(dst=lab.near.mac, src=lab.far.mac) / IP(dst=lab.near.v4) / TCP(flags="S"))

    def scan(of: range) -> None:
        for i in of:
            source = bytes((10, 78, 1 + i // 200, i % 200))
            lab.far.send(*(frame[:26] + source + frame[30:36] + port.to_bytes(2) + frame[38:] for port in range(1, 4)))

    scan(range(sources))
    stats = wait_until("all sources", lambda: (s := lab.stats())["sources_left_out"] >= sources - limit and s)
    assert (len(stats["temporary"]), stats["sources_left_out"]) == (limit, sources - limit)
    scan(range(sources, sources + 20))
    wait_until("20 more", lambda: lab.stats()["sources_left_out"] == sources - limit + 20)
    said = [line for line in lab.log().splitlines() if "sources of alerts" in line]
    assert len(said) == 1, said
    assert f"{lab.near.ifname}: " in said[0] and f"{limit} temporary rules are the limit" in said[0], said
    shown = lab.ctl("packet", "stats", lab.near.ifname).out
    assert f"{sources - limit + 20} sources of alerts are not dropped" in shown, shown
    assert changed(bus_signals, "SourcesLeftOut")[-1] == sources - limit + 20


def test_alerts_beyond_those_told_at_a_time_are_counted_and_said(lab, bus_signals):
    limit, sources = 1000, 1300
    lab.config.write_text(
        "[packet.alerts]\nport_scan_ports = 2\nspoofed_sources_per_second = 0\nsyn_flood_per_second = 0\nsweep_hosts = 0\n"
    )
    lab.ctl("reload")
    lab.attach()
    lab.ctl("packet", "analyse", lab.near.ifname)
    assert lab.stats()["alerts_left_out"] == 0
    frame = bytes(Ether(dst=lab.near.mac, src=lab.far.mac) / IP(dst=lab.near.v4) / TCP(flags="S"))
    scan = [
        frame[:26] + bytes((10, 78, 1 + i // 200, i % 200)) + frame[30:36] + port.to_bytes(2) + frame[38:]
        for i in range(sources)
        for port in range(1, 4)
    ]
    # All of it waits in the ring when the analysis goes on, and is one turn of its work.
    lab.daemon.send_signal(SIGSTOP)
    try:
        lab.far.send(*scan)
    finally:
        lab.daemon.send_signal(SIGCONT)
    wait_until("the rest", lambda: lab.stats()["alerts_left_out"] == sources - limit)
    assert len(lab.json("alerts", lab.near.ifname)) == limit
    told = [line for line in lab.log().splitlines() if "ZSYNC_ALERT=port_scan" in line]
    assert len(told) == limit
    said = [line for line in lab.log().splitlines() if "alerts more" in line]
    assert len(said) == 1 and f"{lab.near.ifname}: {sources - limit} alerts more" in said[0], said
    for shown in (lab.ctl("packet", "stats", lab.near.ifname).out, lab.ctl("alerts", lab.near.ifname).out):
        assert f"{sources - limit} alerts more came at once than are told" in shown, shown
    lab.ctl("packet", "analyse", lab.near.ifname, "--off")
    wait_until("both changes", lambda: changed(bus_signals, "AlertsLeftOut") == [sources - limit, 0])


def test_a_sample_is_a_sample(lab):
    lab.attach()
    lab.ctl("packet", "analyse", lab.near.ifname, "--sample", "1000000")
    lab.far.run("ping", "-c", "20", "-i", "0.002", lab.near.v4)
    tap = lab.json("flows", lab.near.ifname)["tap"]
    assert tap["packets"] >= 40 and tap["sampled"] < 5 and tap["lost"] == 0
