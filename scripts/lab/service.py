"""zsyncd and the private bus it is on, both in DIR, which is a tmpfs of this session alone."""

import os
import pathlib
import socket
import subprocess

import children

DIR = pathlib.Path("/run/zsync-dev")
ADDRESS = f"unix:path={DIR}/bus"
READY_SECONDS_MAX = 20
BUS_CONFIG = f"""<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>{ADDRESS}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_sender="*"/>
  </policy>
  <policy user="root">
    <allow own="org.zsync1"/>
  </policy>
</busconfig>
"""


class Failed(Exception):
    """Something the lab needs did not come up; the text says what and shows its last words."""


class Service:
    def __init__(self):
        self.bus: subprocess.Popen | None = None
        self.daemon: subprocess.Popen | None = None
        self.daemon_log = DIR / "zsyncd.log"

    def start(self) -> None:
        self._start_bus()
        self._start_daemon()

    def _start_bus(self) -> None:
        config = DIR / "bus.conf"
        config.write_text(BUS_CONFIG)
        log = DIR / "bus.log"
        self.bus = children.start(["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile"], log)
        try:
            children.wait_until("the private bus", (DIR / "bus").exists, READY_SECONDS_MAX)
        except TimeoutError as error:
            raise Failed(f"{error}\n{children.tail(log)}") from None
        os.environ["ZSYNC_BUS_ADDRESS"] = ADDRESS

    def _start_daemon(self) -> None:
        # An empty file: whatever is in /etc/zsync, this run has the built-in configuration.
        (DIR / "zsyncd.toml").touch()
        pins = DIR / "bpf"
        for folder in (pins, DIR / "state", DIR / "run"):
            folder.mkdir()
        subprocess.run(["mount", "-t", "bpf", "bpf", str(pins)], check=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(DIR / "notify"))
            notify.settimeout(0.1)
            command = ["zsyncd", "--bus", ADDRESS, "--config", f"{DIR}/zsyncd.toml", "--state-dir", f"{DIR}/state"]
            command += ["--run-dir", f"{DIR}/run", "--bpf-dir", f"{pins}/zsync"]
            self.daemon = children.start(command, self.daemon_log, env=dict(os.environ, NOTIFY_SOCKET=f"{DIR}/notify"))

            def ready() -> bool:
                if self.daemon.poll() is not None:
                    raise Failed(f"zsyncd ended with code {self.daemon.returncode}\n{children.tail(self.daemon_log)}")
                try:
                    return b"READY=1" in notify.recv(4096).split(b"\n")
                except TimeoutError:
                    return False

            try:
                children.wait_until("zsyncd's READY", ready, READY_SECONDS_MAX)
            except TimeoutError as error:
                raise Failed(f"{error}\n{children.tail(self.daemon_log)}") from None

    def died(self) -> str:
        """Why the run can't go on, or ""."""
        for name, child, log in (("zsyncd", self.daemon, self.daemon_log), ("the private bus", self.bus, DIR / "bus.log")):
            if child is not None and child.poll() is not None:
                return f"{name} ended with code {child.returncode}\n{children.tail(log)}"
        return ""

    def stop(self) -> None:
        children.stop(self.daemon)
        children.stop(self.bus)
        subprocess.run(["umount", "--lazy", str(DIR / "bpf")], stderr=subprocess.DEVNULL)


def ctl(*words: str) -> str:
    """What zsyncctl prints; a refusal is a Failed with its reason."""
    done = subprocess.run(["zsyncctl", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise Failed(f"zsyncctl {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
