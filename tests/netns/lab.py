"""The lab of the end-to-end tests: two network namespaces joined by a veth pair, a private bus, and zsyncd between them.

zsyncd runs in the near namespace and filters what the far one sends. Every name carries this process's pid, and whatever
a lab made is gone when its `with` block ends; a child whose lab is killed dies with it.

    with Lab() as lab:
        lab.ctl("packet", "attach", lab.near.ifname)
        lab.load("drop proto icmp")
        lab.far.run("ping", "-c1", "-W1", lab.near.v4, check=False)
"""

import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUS_POLICY = TOP / "dbus" / "org.zsync1.conf"
CLONE_NEWNET = 0x40000000
READY_SECONDS_MAX = 20
REAP_SECONDS_MAX = 10

# What the system bus says to everybody (dbus's own system.conf), and then zsync's policy as it is installed.
BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={folder}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
  </policy>
  <policy user="root">
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/>
  </policy>
  <include>{policy}</include>
</busconfig>
"""

_labs = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


def command(*words: str, check: bool = True, **options) -> subprocess.CompletedProcess:
    """Runs a command; one that fails where it must not is an AssertionError with its words."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": 120} | options
    done = subprocess.run(words, **options)
    assert not check or done.returncode == 0, f"{' '.join(words)}: code {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def wait_until(what: str, condition, seconds_max: float = READY_SECONDS_MAX):
    """The condition's first true value. For states that somebody else brings about and nothing announces."""
    deadline = time.monotonic() + seconds_max
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {seconds_max} s"
        time.sleep(0.02)


def start(*words: str, **options) -> subprocess.Popen:
    """A child that dies when this process does."""
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *words], **options)


class Side:
    """One end of the veth pair, in its own network namespace."""

    def __init__(self, namespace: str, ifname: str, v4: str, v6: str):
        self.namespace = namespace
        self.ifname = ifname
        self.v4 = v4
        self.v6 = v6
        self.mac = ""

    def _inside(self, words) -> list[str]:
        # Not `ip netns exec`, which hides the bpffs behind a /sys of its own.
        return ["nsenter", f"--net=/run/netns/{self.namespace}", "--", *words]

    def run(self, *words: str, **options) -> subprocess.CompletedProcess:
        return command(*self._inside(words), **options)

    def start(self, *words: str, **options) -> subprocess.Popen:
        return start(*self._inside(words), **options)

    def ip(self, *words: str, **options) -> subprocess.CompletedProcess:
        return command("ip", "-n", self.namespace, *words, **options)

    def link(self, ifname: str | None = None) -> dict:
        """What the kernel says of an interface, its counters included."""
        return json.loads(self.ip("-j", "-s", "-d", "link", "show", "dev", ifname or self.ifname).stdout)[0]

    @contextlib.contextmanager
    def entered(self):
        """This thread inside the namespace: sockets made here belong to it."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        inside = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(inside)
            yield
        finally:
            _setns(before)
            os.close(inside)
            os.close(before)

    @contextlib.contextmanager
    def recorded(self, path: pathlib.Path, *options: str, ifname: str | None = None):
        """Has tcpdump record an interface into a file while the block runs, and lose nothing."""
        words = ["tcpdump", "-U", "--immediate-mode", "-i", ifname or self.ifname, "-B", "16384", "-w", str(path), "-Z", "root"]
        tcpdump = self.start(*words, *options, stderr=subprocess.PIPE, text=True)
        try:
            while "listening on" not in tcpdump.stderr.readline():
                assert tcpdump.poll() is None, "tcpdump does not listen"
            yield
        finally:
            tcpdump.send_signal(signal.SIGINT)
            said = tcpdump.communicate(timeout=20)[1]
        assert "0 packets dropped by kernel" in said, said

    def socket(self, *args) -> socket.socket:
        with self.entered():
            return socket.socket(*args)

    def send(self, *frames: bytes, ifname: str | None = None) -> None:
        """Puts whole Ethernet frames on the wire, as they are."""
        with self.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            with self.entered():
                wire.bind((ifname or self.ifname, 0))
            for frame in frames:
                assert wire.send(bytes(frame)) == len(bytes(frame))


def _setns(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns: " + os.strerror(ctypes.get_errno()))


class ServiceManager:
    """Takes what a daemon tells its service manager (sd_notify(3)), for as long as it lives."""

    def __init__(self, address: str):
        self.address = address
        self.told: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while message := self._socket.recv(4096):
            self.told += message.decode().split("\n")

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.address)
        self._thread.join()
        self._socket.close()


class Answer:
    """What zsyncctl did: its exit code and both of its outputs."""

    def __init__(self, done: subprocess.CompletedProcess):
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    def __repr__(self) -> str:
        return f"code {self.code}\n--- out\n{self.out}--- err\n{self.err}"


class Lab:
    NEAR_V4, NEAR_V6 = "10.78.0.1", "2001:db8:78::1"
    FAR_V4, FAR_V6 = "10.78.0.2", "2001:db8:78::2"

    def __init__(self, daemon: bool = True):
        mark = f"{os.getpid()}_{next(_labs)}"
        self.near = Side(f"zsn{mark}", f"zn{mark}", self.NEAR_V4, self.NEAR_V6)
        self.far = Side(f"zsf{mark}", f"zf{mark}", self.FAR_V4, self.FAR_V6)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"zsync-lab-{mark}-"))
        self.folder.chmod(0o755)  # the bus is for every user
        self.bus_address = f"unix:path={self.folder}/bus"
        self.bpf_dir = self.folder / "bpf" / "zsync"
        self.state_dir = self.folder / "state"
        self.run_dir = self.folder / "run"
        self.config = self.folder / "zsyncd.toml"
        self.log_file = self.folder / "zsyncd.log"
        self.bus: subprocess.Popen | None = None
        self.daemon: subprocess.Popen | None = None
        self._manager: ServiceManager | None = None
        self._with_daemon = daemon
        self._undo = contextlib.ExitStack()

    # Its life

    def __enter__(self) -> "Lab":
        try:
            self._undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._make_network()
            self._make_bpffs()
            self._start_bus()
            self.config.touch()
            self._undo.callback(self.stop_daemon, signal.SIGKILL)
            if self._with_daemon:
                self.start_daemon()
        except BaseException:
            self._undo.close()
            raise
        return self

    def __exit__(self, *_) -> None:
        self._undo.close()

    def _make_network(self) -> None:
        for side in (self.near, self.far):
            command("ip", "netns", "add", side.namespace)
            self._undo.callback(command, "ip", "netns", "del", side.namespace, check=False)
            quiet = {
                "addr_gen_mode": 1,
                "accept_ra": 0,
                # A link that comes up tells its multicast groups, and again at a random time up to this.
                "mldv2_unsolicited_report_interval": 2**31 - 1,
            }
            side.run("sysctl", "-qw", *(f"net.ipv6.conf.default.{name}={value}" for name, value in quiet.items()))
            side.ip("link", "set", "lo", "up")
        self.make_link()

    def make_link(self) -> None:
        """The veth pair with its addresses; each end knows the other, so that nothing but the tests speaks."""
        near, far = self.near, self.far
        far.ip("link", "add", far.ifname, "type", "veth", "peer", "name", near.ifname, "netns", near.namespace)
        for side in (near, far):
            # Offloads would hand over packets that no wire would carry.
            side.run("ethtool", "-K", side.ifname, "tx", "off", "tso", "off", "gso", "off", "gro", "off", check=False)
            side.ip("addr", "add", f"{side.v4}/24", "dev", side.ifname)
            side.ip("addr", "add", f"{side.v6}/64", "dev", side.ifname, "nodad")
            side.ip("link", "set", side.ifname, "up")
            side.mac = side.link()["address"]
        for side, other in ((near, far), (far, near)):
            for address in (other.v4, other.v6):
                side.ip("neigh", "replace", address, "lladdr", other.mac, "nud", "permanent", "dev", side.ifname)

    def _make_bpffs(self) -> None:
        mount_point = self.bpf_dir.parent
        mount_point.mkdir()
        command("mount", "-t", "bpf", "bpf", str(mount_point))
        self._undo.callback(command, "umount", "--lazy", str(mount_point), check=False)

    def _start_bus(self) -> None:
        config = self.folder / "bus.conf"
        config.write_text(BUS_CONFIG.format(folder=self.folder, policy=BUS_POLICY))
        with open(self.folder / "bus.log", "wb") as log:
            self.bus = start(
                "dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", stdout=log, stderr=log
            )
        self._undo.callback(_reap, self.bus, signal.SIGTERM)
        wait_until("the bus", lambda: self.bus.poll() is not None or (self.folder / "bus").exists())
        assert self.bus.poll() is None, (self.folder / "bus.log").read_text()

    # The daemon

    def start_daemon(self, *arguments: str, ready: bool = True, **environment: str) -> subprocess.Popen:
        """Starts zsyncd, and waits until it says that it is ready or, with `ready` false, until it ends."""
        assert self.daemon is None
        self._manager = ServiceManager(f"{self.folder}/notify")
        with open(self.log_file, "ab") as log:
            self.daemon = self.near.start(
                *self.daemon_command(),
                *arguments,
                stdout=log,
                stderr=log,
                env=dict(os.environ, NOTIFY_SOCKET=self._manager.address) | environment,
            )
        if ready:
            wait_until("zsyncd's READY", self._says_ready)
        else:
            self.daemon.wait(READY_SECONDS_MAX)
        return self.daemon

    def daemon_command(self) -> list[str]:
        options = {"bus": self.bus_address, "config": self.config, "state-dir": self.state_dir}
        options |= {"run-dir": self.run_dir, "bpf-dir": self.bpf_dir}
        return ["zsyncd", *(f"--{name}={value}" for name, value in options.items())]

    def _says_ready(self) -> bool:
        assert self.daemon.poll() is None, f"zsyncd ended with code {self.daemon.returncode}\n{self.log()}"
        return "READY=1" in self._manager.told

    def stop_daemon(self, how: int = signal.SIGTERM) -> int | None:
        """Ends zsyncd by a signal; its exit code."""
        daemon, self.daemon = self.daemon, None
        try:
            return _reap(daemon, how)
        finally:
            manager, self._manager = self._manager, None
            if manager is not None:
                manager.close()

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    # What a person does

    def environment(self) -> dict[str, str]:
        return dict(os.environ, ZSYNC_BUS_ADDRESS=self.bus_address, TZ="UTC")

    def ctl(self, *words: str, check: bool = True, **options) -> Answer:
        """Runs zsyncctl on the lab's bus."""
        answer = Answer(command("zsyncctl", *words, check=False, env=self.environment(), **options))
        assert not check or answer.code == 0, f"zsyncctl {' '.join(words)}: {answer}{self.log()}"
        return answer

    def json(self, *words: str):
        return json.loads(self.ctl(*words, "--json").out)

    def busctl(self, *words: str, check: bool = True) -> subprocess.CompletedProcess:
        return command("busctl", f"--address={self.bus_address}", *words, check=check)

    def property(self, name: str, path: str | None = None, interface: str = "org.zsync1.PacketInterface"):
        """A property of the near interface's object, or of another one."""
        path = path or self.object_path(self.near.ifname)
        done = self.busctl("--json=short", "get-property", "org.zsync1", path, interface, name)
        return json.loads(done.stdout)["data"]

    @staticmethod
    def object_path(ifname: str) -> str:
        encoded = "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in ifname)
        if encoded[0].isdigit():
            encoded = f"_{ord(encoded[0]):02x}{encoded[1:]}"
        return f"/org/zsync1/packet/{encoded}"

    def attach(self, *options: str) -> None:
        self.ctl("packet", "attach", self.near.ifname, *options)

    def load(self, rules: str, *options: str, check: bool = True) -> Answer:
        """Loads rules from a file named `test.rules`."""
        (self.folder / "test.rules").write_text(rules)
        return self.ctl("packet", "load", self.near.ifname, "test.rules", *options, check=check, cwd=self.folder)

    def filter(self, rules: str, *options: str) -> None:
        self.attach(*options)
        self.load(rules)

    def rules(self) -> list[dict]:
        return self.json("packet", "rules", self.near.ifname)

    def packets(self) -> list[int]:
        """The packets that each rule has matched."""
        return [rule["packets"] for rule in self.rules()]

    def stats(self) -> dict:
        return self.json("packet", "stats", self.near.ifname)


def _reap(child: subprocess.Popen | None, how: int) -> int | None:
    if child is None:
        return None
    if child.poll() is None:
        child.send_signal(how)
        try:
            child.wait(REAP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise
    return child.returncode
