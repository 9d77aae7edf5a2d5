"""zsyncd as systemd runs it: started, fed, reloaded, killed, stopped, sandboxed."""

import json

import pytest

UNIT = "zsyncd.service"


def main_pid(service) -> int:
    return int(service.show(UNIT, "MainPID"))


def bus(service, *arguments: str, **options):
    return service.run("busctl", "--json=short", *arguments, **options)


def manager_property(service, name: str):
    shown = bus(service, "get-property", "org.zsync1", "/org/zsync1", "org.zsync1.Manager", name).stdout
    return json.loads(shown)["data"]


@pytest.fixture(autouse=True)
def running(service):
    service.run("systemctl", "start", UNIT)
    yield
    service.sh("rm -rf /etc/zsync/zsyncd.toml /run/systemd/system/zsyncd.service.d; systemctl daemon-reload")


def test_installed_unit_is_enabled_and_active_once_it_said_so(service):
    assert service.sh(f"systemctl is-enabled {UNIT}") == "enabled"
    assert service.show(UNIT, "ActiveState") == "active"
    assert service.show(UNIT, "Type") == "notify"
    assert service.show(UNIT, "StatusText") != ""
    assert int(service.show(UNIT, "NRestarts")) == 0, service.journal("-u", UNIT)


def test_active_means_that_the_name_is_owned(service):
    service.run("systemctl", "restart", UNIT)
    assert manager_property(service, "Pid") == main_pid(service)


def test_daemon_is_not_root_and_holds_four_capabilities(service):
    status = service.sh(f"cat /proc/{main_pid(service)}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    uid = service.sh("id -u zsync")
    assert uid != "0" and set(fields["Uid"].split()) == {uid}
    net_admin, net_raw, perfmon, bpf = 1 << 12, 1 << 13, 1 << 38, 1 << 39
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == net_admin | net_raw | perfmon | bpf
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"


@pytest.mark.parametrize("offline", [False, True])
def test_security_score_is_at_most_two_and_a_half(service, offline):
    rows = json.loads(service.sh(f"systemd-analyze security --json=short --offline={str(offline).lower()} --threshold=25 {UNIT}"))
    assert rows


def test_stopped_process_is_restarted_by_the_watchdog(service):
    service.write(f"/run/systemd/system/{UNIT}.d/short.conf", "[Service]\nWatchdogSec=1s\n")
    service.run("systemctl", "daemon-reload")
    service.run("systemctl", "restart", UNIT)
    first = main_pid(service)
    assert int(service.show(UNIT, "WatchdogUSec").rstrip("s")) == 1
    service.sh("sleep 2.5")
    assert main_pid(service) == first, "a daemon that feeds its watchdog is left alone"
    service.run("kill", "-STOP", str(first))
    service.wait("another main process", lambda: main_pid(service) not in (0, first))
    service.wait("active again", lambda: service.show(UNIT, "ActiveState") == "active")
    assert "watchdog" in service.journal("-u", UNIT).lower()


def test_reload_returns_when_the_new_configuration_holds(service):
    pid = main_pid(service)
    service.write("/etc/zsync/zsyncd.toml", '[log]\nlevel = "debug"\n')
    service.run("systemctl", "reload", UNIT)
    assert service.show(UNIT, "ActiveState") == "active" and main_pid(service) == pid


def test_reload_of_a_bad_configuration_fails_and_says_where(service):
    pid = main_pid(service)
    service.write("/etc/zsync/zsyncd.toml", '[log]\nlevel = "loud"\n')
    done = service.run("systemctl", "reload", UNIT, check=False)
    assert done.returncode != 0
    assert "/etc/zsync/zsyncd.toml:2:" in service.journal("-u", UNIT)
    assert service.show(UNIT, "ActiveState") == "active" and main_pid(service) == pid
    assert manager_property(service, "Pid") == pid


def test_hangup_reloads_and_keeps_the_process(service):
    pid = main_pid(service)
    service.write("/etc/zsync/zsyncd.toml", "nonsense\n")
    service.run("kill", "-HUP", str(pid))
    service.wait("the error of the reload", lambda: "zsyncd.toml:1:" in service.journal("-u", UNIT))
    assert manager_property(service, "Pid") == pid


def test_bad_configuration_at_start_fails_with_its_place(service):
    service.write("/etc/zsync/zsyncd.toml", "[packet]\ndefault_mode = 7\n")
    service.run("systemctl", "stop", UNIT)
    service.run("systemctl", "start", "--no-block", UNIT)
    service.wait("the error", lambda: "zsyncd.toml:2:" in service.journal("-u", UNIT))
    service.run("rm", "/etc/zsync/zsyncd.toml")
    service.wait("recovery by itself", lambda: service.show(UNIT, "ActiveState") == "active")


def test_stop_takes_less_than_a_second(service):
    service.run("systemctl", "stop", UNIT)
    assert service.show(UNIT, "Result") == "success"
    records = [json.loads(line) for line in service.journal("-u", UNIT, "-o", "json").splitlines()]
    stamps = {record["MESSAGE"]: int(record["__MONOTONIC_TIMESTAMP"]) for record in records}
    assert stamps["stopped"] - stamps["stopping"] < 1_000_000


def test_kill_is_followed_by_a_restart(service):
    first = main_pid(service)
    service.run("kill", "-KILL", str(first))
    service.wait("another main process", lambda: main_pid(service) not in (0, first))
    service.wait("active again", lambda: service.show(UNIT, "ActiveState") == "active")
    assert manager_property(service, "Pid") == main_pid(service)


def test_call_on_the_bus_starts_a_stopped_daemon(service):
    service.run("systemctl", "stop", UNIT)
    assert manager_property(service, "Version")
    assert service.show(UNIT, "ActiveState") == "active"


def test_masked_daemon_is_not_started_by_the_bus(service):
    service.run("systemctl", "mask", "--now", "--runtime", UNIT)
    done = bus(service, "get-property", "org.zsync1", "/org/zsync1", "org.zsync1.Manager", "Version", check=False)
    service.run("systemctl", "unmask", "--runtime", UNIT)
    assert done.returncode != 0


def test_journal_records_have_fields_of_their_own(service):
    service.run("systemctl", "restart", UNIT)
    records = [json.loads(line) for line in service.journal("-u", UNIT, "-o", "json", "_COMM=zsyncd").splitlines()]
    assert records
    for record in records:
        assert {"MESSAGE", "PRIORITY", "CODE_FILE", "CODE_LINE", "CODE_FUNC", "SYSLOG_IDENTIFIER"} <= record.keys(), record
        assert record["_TRANSPORT"] == "journal" and record["SYSLOG_IDENTIFIER"] == "zsyncd"
        assert isinstance(record["CODE_FILE"], str), "a record is written at one place"


def test_an_alert_is_a_journal_record_with_fields_of_its_own(service):
    service.write("/etc/zsync/zsyncd.toml", "[packet.interfaces.alerting0]\nanalyse_every = 1\n")
    service.sh(
        "ip netns add attacker;"
        "ip link add alerting0 type veth peer name eth0 netns attacker;"
        "ip addr add 192.0.2.1/24 dev alerting0; ip link set alerting0 up;"
        "ip -n attacker addr add 192.0.2.2/24 dev eth0; ip -n attacker link set eth0 up"
    )
    try:
        service.run("systemctl", "restart", UNIT)
        service.sh("ip netns exec attacker nmap -n -Pn -sS --top-ports 60 192.0.2.1")
        query = ["-u", UNIT, "-o", "json", "ZSYNC_ALERT=port_scan"]
        record = json.loads(service.wait("the record", lambda: service.journal(*query)).splitlines()[0])
        warning = "4"
        fields = {
            "ZSYNC_INTERFACE": "alerting0",
            "ZSYNC_SOURCE": "192.0.2.2",
            "ZSYNC_DESTINATION": "192.0.2.1",
            "PRIORITY": warning,
            "SYSLOG_IDENTIFIER": "zsyncd",
        }
        assert {name: record.get(name) for name in fields} == fields
        assert record["MESSAGE"].startswith("alerting0: port_scan: ") and record["CODE_FILE"].endswith("packet_analyses.cpp")
    finally:
        service.sh("zsyncctl packet detach alerting0; ip netns del attacker")


def test_state_and_runtime_folders_are_the_daemons_and_the_configuration_is_not(service):
    owners = service.sh("stat -c '%U %a %n' /var/lib/zsync /run/zsync /sys/fs/bpf/zsync /etc/zsync").splitlines()
    assert owners == [
        "zsync 750 /var/lib/zsync",
        "zsync 755 /run/zsync",
        "zsync 700 /sys/fs/bpf/zsync",
        "root 755 /etc/zsync",
    ]


def test_sandbox_shows_its_own_pins_and_nothing_to_write(service):
    inside = ["nsenter", f"--target={main_pid(service)}", "--mount", "--", "sh", "-c"]
    assert service.run(*inside, "ls /sys/fs/bpf").stdout.split() == ["zsync"]
    for path in ("/etc/zsync/x", "/usr/x", "/sys/fs/bpf/x", "/var/x", "/x"):
        assert service.run(*inside, f"touch {path}", check=False).returncode != 0, path
    assert service.run(*inside, "ls -d /dev/sda /dev/kmsg", check=False).stdout == ""
