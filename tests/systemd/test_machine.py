"""The machine that the other files test in is a whole Debian, and leaves the one that it runs on as it was."""

import os
import pathlib
import stat
import subprocess

import machine as machines
import pytest

LOG_FOREVER = "while :; do echo still here; sleep 0.05; done"


def test_systemd_is_up_with_nothing_failed(machine):
    assert machine.sh("cat /proc/1/comm") == "systemd"
    assert machine.sh("systemctl is-system-running") == "running"
    assert machine.sh("systemctl list-units --failed --no-legend --plain") == ""
    assert machine.boot_seconds < 20


def test_system_bus_and_polkit_answer(machine):
    machine.run("busctl", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId")
    machine.run("systemctl", "start", "polkit.service")
    assert machine.sh("systemctl is-active polkit.service") == "active"


def test_sandboxing_watchdog_and_journal_work(machine):
    machine.write(
        "/run/systemd/system/probe.service",
        "[Service]\nType=notify\nNotifyAccess=all\nWatchdogSec=300ms\nDynamicUser=yes\nProtectSystem=strict\n"
        "SystemCallFilter=@system-service\nRestart=always\nRestartSec=0\n"
        "ExecStart=sh -c 'systemd-notify --ready; echo probed; sleep 60'\n",
    )
    machine.run("systemctl", "start", "probe.service")
    machine.wait("two restarts by the watchdog", lambda: int(machine.show("probe.service", "NRestarts")) >= 2)
    assert "probed" in machine.journal("-u", "probe.service")
    machine.run("systemctl", "stop", "probe.service")


def test_commands_run_as_the_user_asked_for(machine):
    assert machine.sh("id -un") == "root"
    assert machine.run("id", "-un", user="nobody").stdout.strip() == "nobody"
    assert machine.run("cat", "/proc/self/status", user="nobody").stdout.count("CapBnd:\t0000000000000000") == 1


def test_failing_command_says_what_it_printed(machine):
    with pytest.raises(machines.MachineError, match="exit 3\nout\nerr"):
        machine.sh("echo out; echo err >&2; exit 3")


def test_root_and_device_nodes_of_the_host_stay_as_they_were():
    with machines.Machine() as made:
        made.sh("touch /etc/made-inside /usr/made-inside; chmod 0600 /dev/null; chown root:tty /dev/zero; rm /etc/fstab")
        made.sh("mkdir /sys/fs/bpf/made-inside; ip link add inside0 type veth peer name inside1")
    assert not pathlib.Path("/etc/made-inside").exists() and not pathlib.Path("/usr/made-inside").exists()
    assert not pathlib.Path("/sys/fs/bpf/made-inside").exists()
    assert "inside0" not in os.listdir("/sys/class/net")
    null = os.stat("/dev/null")
    assert stat.S_IMODE(null.st_mode) == 0o666 and (null.st_uid, null.st_gid) == (0, 0)
    assert null.st_rdev == os.makedev(1, 3)


def test_end_takes_processes_cgroup_and_scratch_along():
    with machines.Machine() as made:
        left = made.popen("sh", "-c", LOG_FOREVER, stdout=subprocess.DEVNULL)
        cgroup, scratch = made.cgroup, made.host_folder.parent
        assert cgroup.is_dir() and scratch.is_dir()
    assert left.wait(10) != 0
    assert not cgroup.exists() and not scratch.exists()


def test_machine_dies_with_the_test_run_that_made_it():
    script = "import machine, time\nmade = machine.Machine().__enter__()\nprint(made.init_pid, flush=True)\ntime.sleep(600)"
    owner = subprocess.Popen(
        ["python3", "-c", script], cwd=machines.HERE, env=dict(os.environ), stdout=subprocess.PIPE, text=True
    )
    init = int(owner.stdout.readline())
    watched = os.pidfd_open(init)
    owner.kill()
    owner.wait()
    assert machines.readable(watched, 10), "PID 1 of the machine outlived its maker"
    os.close(watched)
    with machines.Machine() as after:
        for home in (after.cgroup.parent, after.host_folder.parents[1]):
            assert not list(home.glob(f"{machines.PREFIX}{owner.pid}-*")), "the next machine clears away what was left"
