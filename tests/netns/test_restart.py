"""Whatever happens to zsyncd, the filter goes on: not one denied packet through, no allowed one lost."""

import signal
import time

import pytest
from traffic import DENIED_PORT, RULES, Traffic

STOP_SECONDS_MAX = 1.0


@pytest.mark.parametrize("mode", ["native", "generic"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "stop"])
def test_traffic_meets_the_rules_while_the_daemon_ends_and_comes_back(lab, how, mode):
    lab.filter(RULES, "--mode", mode)
    with Traffic(lab) as traffic:
        for _ in range(5):
            traffic.run_for(300)
            lab.stop_daemon(how)
            traffic.run_for(300)
            lab.start_daemon()
        traffic.run_for(300)
    traffic.check()
    assert lab.packets() == [traffic.pairs], "the count went on over every restart"
    stats = lab.stats()
    assert stats["adopted"] and stats["state"] == "attached"


def test_reload_and_load_under_traffic_open_no_gap(lab):
    lab.filter(RULES)
    with Traffic(lab) as traffic:
        for number in range(20):
            lab.load(f"{RULES}drop proto udp dport {8000 + number}\n")
            lab.ctl("reload")
            traffic.run_for(50)
    traffic.check()
    assert lab.packets()[0] == traffic.pairs


def test_rules_loaded_before_a_crash_are_still_the_rules(lab):
    lab.filter(RULES)
    before = lab.stats()
    lab.stop_daemon(signal.SIGKILL)
    lab.start_daemon()
    after = lab.stats()
    assert after["adopted"]
    for field in ("ifname", "mode", "rules", "prefixes", "rules_source", "loaded_at_us", "default_verdict"):
        assert after[field] == before[field], field
    assert [rule["text"] for rule in lab.rules()] == [f"drop proto udp dport {DENIED_PORT}"]
    lab.load("drop fragment\n")
    assert [rule["text"] for rule in lab.rules()] == ["drop fragment"]


def test_stop_is_quick_and_clean(lab):
    lab.filter(RULES)
    begin = time.monotonic()
    assert lab.stop_daemon(signal.SIGTERM) == 0
    assert time.monotonic() - begin < STOP_SECONDS_MAX
    assert "stopped" in lab.log()
    assert lab.near.link()["xdp"], "the filter stays"


def test_second_daemon_with_the_same_directories_is_refused(lab):
    done = lab.near.run(*lab.daemon_command(), check=False)
    assert done.returncode == 1 and str(lab.run_dir) in done.stderr
    assert lab.json("status")["pid"] == lab.daemon.pid


def test_second_daemon_on_the_same_bus_is_refused(lab):
    elsewhere = [f"--{name}={lab.folder}/second-{name}" for name in ("state-dir", "run-dir")]
    done = lab.near.run(*lab.daemon_command(), *elsewhere, f"--bpf-dir={lab.bpf_dir.parent}/second", check=False)
    assert done.returncode == 1 and "org.zsync1 is owned by another program" in done.stderr
    assert lab.json("status")["pid"] == lab.daemon.pid
