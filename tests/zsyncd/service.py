"""zsyncd on a private dbus-daemon, both in a folder of the test's own. No privilege is needed."""

import os
import pathlib
import signal
import socket
import subprocess
import time

SECONDS_MAX = 10
BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={folder}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""


def wait_until(what: str, condition):
    end = time.monotonic() + SECONDS_MAX
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {SECONDS_MAX} s")


class Service:
    """`start` waits for READY=1; what zsyncd tells its service manager is in `told`."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.address = f"unix:path={folder}/bus"
        self.config = folder / "zsyncd.toml"
        self.log = folder / "zsyncd.log"
        self.told: list[str] = []
        self.bus = None
        self.daemon = None
        self.bpf_dir = folder / "bpf"
        self.prefix: list[str] = []  # what starts zsyncd, such as unshare
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(folder / "notify"))
        self.notify.setblocking(False)
        self.config.write_text("")
        for name in ("state", "run", "bpf"):
            (folder / name).mkdir()
        (folder / "bus.conf").write_text(BUS_CONFIG.format(folder=folder))

    def start_bus(self) -> None:
        (self.folder / "bus").unlink(missing_ok=True)
        self.bus = subprocess.Popen(
            ["dbus-daemon", "--nofork", f"--config-file={self.folder}/bus.conf"], stderr=subprocess.DEVNULL
        )
        wait_until("the private bus", (self.folder / "bus").exists)

    def command(self) -> list[str]:
        places = ["--state-dir", f"{self.folder}/state", "--run-dir", f"{self.folder}/run", "--bpf-dir", str(self.bpf_dir)]
        return [*self.prefix, "zsyncd", "--bus", self.address, "--config", str(self.config), *places]

    def start(self, **environment: str) -> None:
        if self.bus is None:
            self.start_bus()
        with self.log.open("a") as log:
            self.daemon = subprocess.Popen(
                self.command(), stderr=log, env=dict(os.environ, NOTIFY_SOCKET=f"{self.folder}/notify", **environment)
            )
        wait_until("READY=1", lambda: self.daemon.poll() is not None or self.heard("READY=1"))
        assert self.daemon.poll() is None, self.log.read_text()

    def hold_reload(self) -> subprocess.Popen:
        """A Reload that waits until `listen` is called, because its service manager's queue is full."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            other.connect(str(self.folder / "notify"))
            try:
                while True:
                    other.send(b"X_FILL=1")
            except BlockingIOError:
                pass
        words = ["call", "org.zsync1", "/org/zsync1", "org.zsync1.Manager", "Reload", "a{sv}", "0"]
        return subprocess.Popen(["busctl", f"--address={self.address}", *words], stderr=subprocess.PIPE, text=True)

    def running_job(self) -> str:
        """The path of the one running job."""
        row = wait_until("a job", lambda: (text := self.property("Jobs")) != "a(ussso) 0" and text)
        return row.split('"')[-2]

    def listen(self) -> list[str]:
        while True:
            try:
                self.told.append(self.notify.recv(4096).decode())
            except BlockingIOError:
                return self.told

    def heard(self, words: str) -> bool:
        return any(words in message.split("\n") for message in self.listen())

    def busctl(self, *words: str, check: bool = True) -> subprocess.CompletedProcess:
        done = subprocess.run(
            ["busctl", f"--address={self.address}", "--no-pager", *words], capture_output=True, text=True, timeout=SECONDS_MAX
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def call(self, method: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        return self.busctl("call", "org.zsync1", "/org/zsync1", "org.zsync1.Manager", method, *arguments, check=check)

    def property(self, name: str) -> str:
        return self.busctl("get-property", "org.zsync1", "/org/zsync1", "org.zsync1.Manager", name).stdout.strip()

    def introspect(self, path: str) -> str:
        return self.busctl("introspect", "--xml-interface", "org.zsync1", path).stdout

    def stop(self) -> float:
        """Ends zsyncd as systemd does; how many seconds it took."""
        began = time.monotonic()
        self.daemon.send_signal(signal.SIGTERM)
        code = self.daemon.wait(timeout=SECONDS_MAX)
        assert code == 0, self.log.read_text()
        return time.monotonic() - began

    def kill_bus(self) -> None:
        self.bus.kill()
        self.bus.wait()
        self.bus = None

    def close(self) -> None:
        for child in (self.daemon, self.bus):
            if child is not None and child.poll() is None:
                child.kill()
                child.wait()
        self.notify.close()
