"""A Debian 13 with systemd as PID 1 in plain namespaces: ready in about a second, gone with its last reference.

    with Machine() as machine:
        machine.run("systemctl", "is-active", "dbus")

It sees the root it was started in through an overlay, so nothing it does outlives it, and has its own network, its own
device nodes and its own BPF file system. It has the machine's kernel: cgroup controllers and modules belong in the VM
tier. Not thread-safe.
"""

import array
import contextlib
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
BOOT_SECONDS_MAX = 60
RUN_SECONDS_MAX = 60
PREFIX = "zsync-machine-"
CAPABILITIES = "root, overlayfs, cgroup2 and every namespace type"


class MachineError(Exception):
    """The machine did not come up, or a command in it failed; the text says which and what it printed."""


class Machine:
    def __init__(self) -> None:
        clear_leftovers()
        self._scratch = pathlib.Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self._cgroup: pathlib.Path | None = None
        self._process: subprocess.Popen | None = None
        self._console = -1
        self._transcript = bytearray()
        self._init = 0
        self.boot_seconds = 0.0

    def __enter__(self) -> "Machine":
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *unused) -> None:
        self.stop()

    @property
    def host_folder(self) -> pathlib.Path:
        """What lies here is seen inside under /run/host."""
        return self._scratch / "host"

    @property
    def cgroup(self) -> pathlib.Path | None:
        return self._cgroup

    @property
    def init_pid(self) -> int:
        """The machine's PID 1 as this side sees it."""
        return self._init

    @property
    def console(self) -> str:
        return self._transcript.decode(errors="replace")

    def run(
        self, *command: str, check: bool = True, user: str = "", stdin: str = "", timeout: float = RUN_SECONDS_MAX
    ) -> subprocess.CompletedProcess:
        """Run a command inside as root or USER; output is text. With check, a failure raises with all it printed."""
        done = subprocess.run(
            [*self._enter(user), *command], input=stdin, capture_output=True, text=True, timeout=timeout
        )
        if check and done.returncode:
            raise MachineError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def popen(self, *command: str, user: str = "", **options) -> subprocess.Popen:
        """Start a command inside and leave it running; it ends with the machine at the latest."""
        return subprocess.Popen([*self._enter(user), *command], text=True, **options)

    def sh(self, script: str, **options) -> str:
        return self.run("sh", "-ec", script, **options).stdout.strip()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        self.run("sh", "-ec", 'mkdir -p "$(dirname "$1")"; cat >"$1"; chmod "$2" "$1"', "sh", path, f"{mode:o}", stdin=text)

    def show(self, unit: str, name: str) -> str:
        return self.sh(f"systemctl show --value --property={name} {unit}")

    def wait(self, what: str, holds, seconds: float = 20):
        """Wait until holds() is true and return it; the words name what was waited for."""
        end = time.monotonic() + seconds
        while not (found := holds()):
            if time.monotonic() > end:
                raise MachineError(f"not within {seconds} s: {what}\n{self.journal()}")
            time.sleep(0.02)
        return found

    def journal(self, *arguments: str) -> str:
        return self.run("journalctl", "--no-pager", "-o", "short-monotonic", *arguments, check=False).stdout

    def stop(self) -> None:
        if self._process:
            # Killing unshare kills PID 1, and with it everything in the namespaces.
            self._process.kill()
            self._process.wait()
            if self._init:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._init, signal.SIGKILL)
                self._init = 0
            self._process = None
        if self._console >= 0:
            os.close(self._console)
            self._console = -1
        if self._cgroup:
            remove_cgroup(self._cgroup)
            self._cgroup = None
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _enter(self, user: str) -> list[str]:
        command = ["nsenter", f"--target={self._init}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--wdns=/"]
        command += ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]
        command += ["DEBIAN_FRONTEND=noninteractive", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0"]
        if user:
            command += ["setpriv", f"--reuid={user}", "--regid=nogroup", "--clear-groups", "--bounding-set=-all", "--"]
        return command

    def _start(self) -> None:
        began = time.monotonic()
        (self._scratch / "host").mkdir()
        self._cgroup = make_cgroup()
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ready.bind(str(self._scratch / "host/notify"))
        ours, theirs = socket.socketpair()
        with ready, ours:
            self._process = subprocess.Popen(
                [
                    "setpriv", "--pdeathsig", "KILL", "--",
                    "sh", "-ec", 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"', "sh", str(self._cgroup),
                    "unshare", "--mount", "--propagation", "private", "--uts", "--ipc", "--net", "--pid", "--cgroup",
                    "--fork", "--kill-child", "--",
                    sys.executable, str(HERE / "boot.py"), str(self._scratch), str(theirs.fileno()),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
            theirs.close()
            self._console = self._receive_console(ours)
            self._init = self._find_init()
            threading.Thread(target=self._drain, args=(self._console,), daemon=True).start()
            self._await_ready(ready, began)
        self.boot_seconds = time.monotonic() - began

    def _receive_console(self, channel: socket.socket) -> int:
        channel.settimeout(BOOT_SECONDS_MAX)
        data, ancillary, _, _ = channel.recvmsg(16, socket.CMSG_SPACE(4))
        if not data:
            words = self._process.stdout.read().decode(errors="replace")
            raise MachineError(f"no machine; it needs {CAPABILITIES}:\n{words}")
        return array.array("i", ancillary[0][2])[0]

    def _find_init(self) -> int:
        children = pathlib.Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0])

    def _drain(self, console: int) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(console, 4096):
                self._transcript += data

    def _await_ready(self, ready: socket.socket, began: float) -> None:
        while (left := began + BOOT_SECONDS_MAX - time.monotonic()) > 0:
            if not readable(ready, min(left, 0.5)):
                if self._process.poll() is not None:
                    break
            elif "READY=1" in ready.recv(4096).decode().splitlines():
                return
        raise MachineError(f"systemd did not finish starting:\n{self.console}\n{self.journal() if self._init else ''}")


def readable(what, seconds: float) -> bool:
    return bool(select.select([what], [], [], seconds)[0])


def cgroup_home() -> pathlib.Path:
    """This process's own cgroup in the cgroup2 hierarchy."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ")
        if right.split()[0] == "cgroup2":
            within = next(entry[3:] for entry in pathlib.Path("/proc/self/cgroup").read_text().splitlines() if entry.startswith("0::"))
            return pathlib.Path(left.split()[4] + within)
    raise MachineError(f"no cgroup2 is mounted; the machine needs {CAPABILITIES}")


def make_cgroup() -> pathlib.Path:
    """A cgroup that becomes the machine's root."""
    return pathlib.Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=cgroup_home()))


def clear_leftovers() -> None:
    """A test run that was killed leaves no process, but its cgroup and its scratch folder."""
    for home, remove in ((cgroup_home(), remove_cgroup), (pathlib.Path(tempfile.gettempdir()), shutil.rmtree)):
        for old in home.glob(PREFIX + "*"):
            if not pathlib.Path("/proc", old.name.removeprefix(PREFIX).split("-")[0]).exists():
                remove(old)


def remove_cgroup(cgroup: pathlib.Path) -> None:
    with contextlib.suppress(OSError):
        (cgroup / "cgroup.kill").write_text("1")
    end = time.monotonic() + 10
    for folder, _, _ in os.walk(cgroup, topdown=False):
        while os.path.isdir(folder):
            try:
                os.rmdir(folder)
            except OSError:
                if time.monotonic() > end:
                    return
                time.sleep(0.01)
