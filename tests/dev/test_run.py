"""`./dev run` does what it says, and whatever ends it, nothing of it is left."""

import fcntl
import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import termios
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
DEV = str(TOP / "dev")
START_SECONDS_MAX = 60
END_SECONDS_MAX = 30


def lines_of(*command: str) -> set[str]:
    return set(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines())


def machine() -> dict[str, set[str]]:
    """What a person would look at to see whether something was left behind."""
    links = json.loads(subprocess.run(["ip", "-j", "link"], stdout=subprocess.PIPE, check=True).stdout)
    pins = pathlib.Path("/sys/fs/bpf")
    return {
        "mounts": {line.split()[4] for line in open("/proc/self/mountinfo")},
        "namespaces": lines_of("ip", "netns"),
        "links": {link["ifname"] for link in links},
        "pins": {str(path) for path in pins.rglob("*")},
        "null": {str((os.stat("/dev/null").st_mode, os.stat("/dev/null").st_rdev))},
    }


class Run:
    """One `./dev run` under a session name of its own, so that a person's live one is not in the way."""

    def __init__(self, name: str, *words: str, **options):
        self.environment = dict(os.environ, ZSYNC_SESSION=name)
        # The marks of the session that the tests run in are not this run's.
        self.marker = f"ZSYNC_SESSION={name}".encode()
        self.child = subprocess.Popen(
            [DEV, "run", *words],
            env=self.environment,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True} | options),
        )

    def exec(self, *command: str) -> subprocess.CompletedProcess:
        return subprocess.run([DEV, "exec", *command], env=self.environment, capture_output=True, text=True)

    def wait_until_live(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while self.exec("sh", "-c", "test -S /run/zsync-dev/bus && ip link show lab0").returncode:
            assert self.child.poll() is None, f"ended with {self.child.returncode}: {self.output()}"
            assert time.monotonic() < deadline, "never came up"
            time.sleep(0.2)

    def output(self) -> str:
        return self.child.stdout.read() if self.child.stdout else ""

    def processes(self) -> set[str]:
        found = set()
        for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
            try:
                if self.marker in path.read_bytes().split(b"\0"):
                    found.add((path.parent / "comm").read_text().strip())
            except OSError:
                continue
        return found

    def rules(self) -> dict[str, int]:
        done = self.exec("zsyncctl", "packet", "rules", "lab0", "--json")
        assert done.returncode == 0, done.stderr
        return {row["name"]: row["packets"] for row in json.loads(done.stdout)}

    def assert_gone(self, before: dict[str, set[str]]) -> None:
        deadline = time.monotonic() + 5
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.processes() == set()
        assert machine() == before


@pytest.fixture
def run(request):
    runs = []

    def begin(*words: str, **options) -> Run:
        runs.append(Run(f"test-{os.getpid()}-{request.node.name[:20]}", *words, **options))
        return runs[-1]

    yield begin
    for one in runs:
        if one.child.poll() is None:
            one.child.kill()
        one.child.wait()


def test_for_seconds_counts_denied_traffic_and_leaves_nothing(run):
    before = machine()
    one = run("--for", "9")
    text, _ = one.child.communicate(timeout=START_SECONDS_MAX + END_SECONDS_MAX)
    assert one.child.returncode == 0, text
    last = text[text.index("At the end:") :]
    for name in ("known bad", "telnet and X11", "web", "echo", "ping", "default pass"):
        row = next((line for line in last.splitlines() if f"{name} " in line or line.rstrip().endswith(name)), "")
        numbers = [int(word.replace(",", "")) for word in row.split() if word.replace(",", "").isdigit()]
        assert max(numbers, default=0) > 0, f"'{name}' counted nothing:\n{text}"
    one.assert_gone(before)


def test_second_terminal_joins_and_second_start_is_refused(run):
    before = machine()
    one = run()
    one.wait_until_live()
    deadline = time.monotonic() + 20
    while not (one.rules().get("known bad") and one.rules().get("telnet and X11")):
        assert time.monotonic() < deadline, one.rules()
        time.sleep(0.3)
    status = json.loads(one.exec("zsyncctl", "status", "--json").stdout)
    assert pathlib.Path(f"/proc/{status['pid']}/comm").read_text().strip() == "zsyncd", "the pid is the machine's own"
    address = one.exec("sh", "-c", "echo $ZSYNC_BUS_ADDRESS").stdout.strip()
    call = one.exec("busctl", f"--address={address}", "introspect", "org.zsync1", "/org/zsync1/packet/lab0")
    assert "org.zsync1.PacketInterface" in call.stdout, call.stderr

    second = subprocess.run([DEV, "run"], env=one.environment, capture_output=True, text=True)
    assert second.returncode == 1
    assert f"already running (pid {one.child.pid}), try: ./dev exec zsyncctl" in second.stderr

    one.child.send_signal(signal.SIGTERM)
    assert one.child.wait(END_SECONDS_MAX) == 0, one.output()
    one.assert_gone(before)


def test_kill_9_of_the_run_leaves_nothing(run):
    before = machine()
    one = run()
    one.wait_until_live()
    deadline = time.monotonic() + 10
    while not {"zsyncd", "dbus-daemon", "ping"} <= one.processes():
        assert time.monotonic() < deadline, one.processes()
        time.sleep(0.05)
    one.child.kill()
    one.child.wait()
    one.assert_gone(before)


def test_dead_daemon_ends_the_run_with_its_reason(run):
    before = machine()
    one = run()
    one.wait_until_live()
    pid = json.loads(one.exec("zsyncctl", "status", "--json").stdout)["pid"]
    os.kill(pid, signal.SIGKILL)
    text, _ = one.child.communicate(timeout=END_SECONDS_MAX)
    assert one.child.returncode == 1 and "zsyncd ended with code -9" in text, text
    one.assert_gone(before)


def test_ctrl_c_on_a_terminal_ends_the_live_table(run):
    before = machine()
    master, slave = pty.openpty()
    one = run(stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=lambda: take_terminal(slave))
    os.close(slave)
    shown = b""
    deadline = time.monotonic() + START_SECONDS_MAX
    while shown.count(b"known bad") < 2:
        assert time.monotonic() < deadline and one.child.poll() is None, shown.decode(errors="replace")
        if select.select([master], [], [], 0.2)[0]:
            shown += os.read(master, 65536)
    os.write(master, b"\x03")
    deadline = time.monotonic() + END_SECONDS_MAX
    while one.child.poll() is None:
        assert time.monotonic() < deadline, shown.decode(errors="replace")
        if select.select([master], [], [], 0.2)[0]:
            try:
                shown += os.read(master, 65536)
            except OSError:
                break
    assert one.child.wait(END_SECONDS_MAX) == 0, shown.decode(errors="replace")
    os.close(master)
    one.assert_gone(before)


def take_terminal(slave: int) -> None:
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


@pytest.mark.parametrize(
    "words, reason",
    [(["--iface", "nosuch0"], "there is no interface 'nosuch0'"), (["--for", "soon"], "invalid float value")],
)
def test_bad_arguments_are_named(run, words, reason):
    one = run(*words)
    text, _ = one.child.communicate(timeout=START_SECONDS_MAX)
    assert one.child.returncode == 2 and reason in text


def test_real_interface_is_filtered_and_given_back(run):
    before = machine()
    name = f"run{os.getpid() % 100000}"
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p"], check=True)
    try:
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        one = run("--iface", name, "--for", "4")
        text, _ = one.child.communicate(timeout=START_SECONDS_MAX)
        assert one.child.returncode == 0, text
        assert f"filters {name}" in text
        link = json.loads(subprocess.run(["ip", "-j", "link", "show", name], stdout=subprocess.PIPE).stdout)[0]
        assert "xdp" not in link, link
    finally:
        subprocess.run(["ip", "link", "del", name], check=True)
    one.assert_gone(before)
