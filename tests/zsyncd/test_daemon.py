"""zsyncd as a service: what it tells its manager, how it stops, and what is on the bus."""

import os
import re
import signal
import subprocess
import time

import pytest

from service import wait_until


def tasks(service) -> str:
    return service.call("ListTasks").stdout


def test_version_and_help():
    version = subprocess.run(["zsyncd", "--version"], capture_output=True, text=True)
    assert version.returncode == 0 and version.stdout.startswith("zsyncd ")
    text = subprocess.run(["zsyncd", "--help"], capture_output=True, text=True)
    assert text.returncode == 0
    for option in ("--bus", "--config", "--state-dir", "--run-dir", "--bpf-dir"):
        assert option in text.stdout


@pytest.mark.parametrize("words", [["--frobnicate"], ["--bus"], ["--bus="], ["extra"]])
def test_usage_errors(words):
    done = subprocess.run(["zsyncd", *words], capture_output=True, text=True)
    assert done.returncode == 2 and "--help" in done.stderr and done.stdout == ""


def test_no_bus_is_a_clear_error(service):
    done = subprocess.run(service.command(), capture_output=True, text=True)
    assert done.returncode == 1
    assert f"no bus at {service.address}" in done.stderr and "--bus" in done.stderr


def test_properties(running):
    version = subprocess.run(["zsyncd", "--version"], capture_output=True, text=True).stdout.split()[1]
    assert running.property("Version") == f's "{version}"'
    assert running.property("Pid") == f"u {running.daemon.pid}"
    assert abs(int(running.property("StartTimestamp").split()[1]) / 1e6 - time.time()) < 60
    assert '"io_uring" true' in running.property("Features")
    assert running.property("Jobs") == "a(ussso) 0"


def test_tasks_have_names_and_places(running):
    text = tasks(running)
    for name in ("zsyncd", "signals", "service", "bus", "org.zsync1.Manager.ListTasks"):
        assert f'"{name}' in text
    assert re.search(r'"waiting: notify" \d+ "zsync/bus/connection\.cpp:\d+"', text)


def test_ready_only_when_the_name_is_owned(service):
    service.start_bus()
    monitor = subprocess.Popen(
        ["busctl", f"--address={service.address}", "wait", "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged"],
        stdout=subprocess.DEVNULL,
    )
    try:
        service.start()
        assert "org.zsync1" in service.busctl("list").stdout
    finally:
        monitor.kill()
        monitor.wait()


def test_second_instance_is_refused(running):
    (running.folder / "other").mkdir()
    other = f"{running.folder}/other"
    command = [*running.command(), "--state-dir", other, "--run-dir", other]
    second = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert second.returncode == 1
    assert f"owned by another program (process {running.daemon.pid})" in second.stderr
    running.property("Version")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_within_a_second_with_calls_running(running, number):
    waiting = subprocess.Popen(
        ["busctl", f"--address={running.address}", "monitor", "org.zsync1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        began = time.monotonic()
        running.daemon.send_signal(number)
        assert running.daemon.wait(timeout=20) == 0
        assert time.monotonic() - began < 1
        assert running.heard("STOPPING=1")
        # A worker that ends with a live task aborts, so exit code 0 says that all were joined.
        assert "stopped" in running.log.read_text()
    finally:
        waiting.kill()
        waiting.wait()


def test_watchdog_is_fed_from_the_loop(service):
    service.start(WATCHDOG_USEC="200000")
    wait_until("five beats", lambda: service.listen().count("WATCHDOG=1") >= 5)
    os.kill(service.daemon.pid, signal.SIGSTOP)
    time.sleep(0.1)
    beats = service.listen().count("WATCHDOG=1")
    time.sleep(0.5)
    assert service.listen().count("WATCHDOG=1") == beats
    os.kill(service.daemon.pid, signal.SIGCONT)
    wait_until("another beat", lambda: service.listen().count("WATCHDOG=1") > beats)


def test_watchdog_of_another_process_is_not_fed(service):
    service.start(WATCHDOG_USEC="50000", WATCHDOG_PID="1")
    time.sleep(0.3)
    assert not service.heard("WATCHDOG=1")


def test_reload_over_the_bus_and_by_signal(running):
    for reload in (lambda: running.call("Reload", "a{sv}", "0"), lambda: running.daemon.send_signal(signal.SIGHUP)):
        running.listen().clear()
        running.config.write_text('[log]\nlevel = "debug"\n')
        reload()
        wait_until("READY=1 again", lambda: running.heard("READY=1"))
        first = running.told[0].split("\n")
        assert "RELOADING=1" in first
        stamp = next(line for line in first if line.startswith("MONOTONIC_USEC="))
        assert abs(int(stamp.split("=")[1]) / 1e6 - time.monotonic()) < 20


def test_bad_config_is_named_and_the_running_one_stays(running):
    running.config.write_text('[log]\nlevel = "shrill"\n')
    refused = running.call("Reload", "a{sv}", "0", check=False)
    assert refused.returncode != 0
    assert f"{running.config}:2:" in refused.stderr and "level" in refused.stderr
    running.listen().clear()
    running.daemon.send_signal(signal.SIGHUP)
    wait_until("READY=1 again", lambda: running.heard("READY=1"))
    wait_until("the error in the log", lambda: f"{running.config}:2:" in running.log.read_text())
    running.property("Version")


def test_bad_config_at_start(service):
    service.start_bus()
    service.config.write_text("[nonsense\n")
    done = subprocess.run(service.command(), capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and f"{service.config}:1:" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["s", "x"], "Invalid arguments 's'"),
        (["a{sv}", "1", "colour", "s", "red"], "unknown option: colour"),
    ],
)
def test_wrong_arguments(running, arguments, words):
    refused = running.call("Reload", *arguments, check=False)
    assert refused.returncode != 0 and words in refused.stderr


def test_survives_the_loss_of_its_bus(running):
    pid = running.daemon.pid
    running.kill_bus()
    running.start_bus()
    began = time.monotonic()
    wait_until("org.zsync1 again", lambda: running.busctl("status", "org.zsync1", check=False).returncode == 0)
    assert time.monotonic() - began < 2
    assert running.property("Pid") == f"u {pid}"
    assert running.stop() < 1


def test_stops_without_a_bus(running):
    running.kill_bus()
    wait_until("the loss in the log", lambda: "the bus is gone" in running.log.read_text())
    assert running.stop() < 1


def test_a_job_shows_and_can_be_cancelled(running):
    reload = running.hold_reload()
    path = running.running_job()
    row = running.property("Jobs")
    assert '"reload"' in row and '"running"' in row
    twice = running.call("Reload", "a{sv}", "0", check=False)
    assert twice.returncode != 0 and "running already" in twice.stderr
    running.busctl("call", "org.zsync1", path, "org.zsync1.Job", "Cancel")
    wait_until("no job", lambda: running.property("Jobs") == "a(ussso) 0")
    running.listen()
    assert reload.wait(timeout=20) != 0
    assert "anceled" in reload.stderr.read()
    reload.stderr.close()
    assert running.call("Reload", "a{sv}", "0").returncode == 0


def test_a_caller_that_leaves_cancels_its_call(running):
    reload = running.hold_reload()
    running.running_job()
    reload.kill()
    reload.wait()
    reload.stderr.close()
    wait_until("no job", lambda: running.property("Jobs") == "a(ussso) 0")
    running.listen()


def test_stops_while_its_service_manager_does_not_listen(running):
    reload = running.hold_reload()
    running.running_job()
    assert running.stop() < 1
    reload.wait()
    reload.stderr.close()
