"""The traffic analysis on an interface: flows, alerts on the bus and in the log, and no cost while it is off."""

import contextlib
import json
import subprocess
import time

import pytest
from lab import start, wait_until

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
    assert f"port_scan: {reason}" in analysed.log()
    assert reason[:40] in analysed.ctl("alerts", analysed.near.ifname).out
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
    analysed.far.run("ping", "-c", "300", "-i", "0.002", analysed.near.v4)
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


def test_a_sample_is_a_sample(lab):
    lab.attach()
    lab.ctl("packet", "analyse", lab.near.ifname, "--sample", "1000000")
    lab.far.run("ping", "-c", "20", "-i", "0.002", lab.near.v4)
    tap = lab.json("flows", lab.near.ifname)["tap"]
    assert tap["packets"] >= 40 and tap["sampled"] < 5 and tap["lost"] == 0
