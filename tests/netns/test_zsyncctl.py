"""zsyncctl on a live daemon: what people see, what programs parse, and how it ends."""

import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import threading
import time

import pytest
from frames import Frames
from lab import TOP, start, wait_until
from traffic import RULES

U64 = int
SHAPES = {
    "status": {"version": str, "pid": U64, "uptime_ms": U64, "interfaces": list},
    "interfaces": {
        **dict.fromkeys(("ifname", "state", "state_reason", "mode", "rules_source"), str),
        **dict.fromkeys(("ifindex", "rules", "prefixes", "packets", "bytes", "passed", "dropped", "malformed"), U64),
    },
    "features": {"name": str, "available": bool, "detail": str},
    "tasks": {
        **dict.fromkeys(("id", "parent", "age_us", "running_us", "resumes"), U64),
        **dict.fromkeys(("name", "kind", "state", "where"), str),
        "chain": list,
    },
    "rules": {"index": U64, "text": str, "name": str, "packets": U64, "bytes": U64, "limited": U64},
    "stats": {
        **dict.fromkeys(("ifname", "state", "state_reason", "mode", "requested_mode"), str),
        **dict.fromkeys(("default_verdict", "malformed_verdict", "rules_source"), str),
        **dict.fromkeys(("ifindex", "program_id", "layout_version", "rules", "prefixes", "loaded_at_us"), U64),
        **dict.fromkeys(("packets", "bytes", "passed", "passed_bytes", "dropped", "dropped_bytes"), U64),
        **dict.fromkeys(("sources_left_out", "alerts_left_out"), U64),
        "adopted": bool,
        "malformed": dict,
        "hooks": list,
        "temporary": list,
    },
}
MALFORMED_REASONS_MIN = 20


def check_shape(value: dict, name: str) -> None:
    for field, kind in SHAPES[name].items():
        assert type(value[field]) is kind, f"{name}.{field} is {value[field]!r}"


def test_documents_have_the_fields_that_the_manual_promises(lab):
    lab.filter('drop proto udp dport 7002 name "no, thanks"\n')
    status = lab.json("status")
    check_shape(status, "status")
    assert status["pid"] == lab.daemon.pid and status["uptime_ms"] < 60_000
    (interface,) = status["interfaces"]
    check_shape(interface, "interfaces")
    assert interface["ifname"] == lab.near.ifname and interface["rules"] == 1
    for verb in ("features", "tasks"):
        rows = lab.json(verb)
        assert rows
        for row in rows:
            check_shape(row, verb)
    assert lab.json("jobs") == []
    first, second = (json.loads(line) for line in lab.ctl("top", "--json", "--count=2", "--interval=0.2").out.splitlines())
    assert first["worker"]["turns_per_second"] is None and second["worker"]["turns_per_second"] > 0
    assert 0 <= second["worker"]["busy_percent"] <= 100
    assert {"zsyncd", "bus"} <= {task["name"] for task in second["tasks"]}
    (rule,) = lab.rules()
    check_shape(rule, "rules")
    assert (rule["index"], rule["name"]) == (0, "no, thanks")
    stats = lab.stats()
    check_shape(stats, "stats")
    assert len(stats["malformed"]) >= MALFORMED_REASONS_MIN
    assert all(type(count) is int for count in stats["malformed"].values())


def test_manual_names_every_field():
    manual = (TOP / "docs/man/zsyncctl.1.scd").read_text()
    promised = manual[manual.index("# JSON") : manual.index("# ENVIRONMENT")].replace("\\", "")
    for shape in SHAPES.values():
        for field in shape:
            assert f"*{field}*" in promised, field


def test_answers_of_changing_verbs_are_documents_too(lab):
    ifname = lab.near.ifname
    attached = lab.json("packet", "attach", ifname, "--mode", "generic")
    assert attached == {"ifname": ifname, "state": "attached", "mode": "generic", "rules": 0, "prefixes": 0}
    (lab.folder / "r").write_text("set s { 10.0.0.0/8, 2001:db8::/32 }\ndrop from @s\n")
    checked = lab.json("packet", "load", ifname, str(lab.folder / "r"), "--check")
    assert checked == {"ifname": ifname, "rules": 1, "prefixes": 2, "loaded": False}
    loaded = lab.json("packet", "load", ifname, str(lab.folder / "r"))
    assert loaded["loaded"] and loaded["rules"] == 1 and loaded["prefixes"] == 2 and loaded["visible_us"] > 0
    assert lab.json("reload") == {"reloaded": True}
    assert lab.json("packet", "detach", ifname) == {"ifname": ifname, "detached": True}


def test_tables_are_aligned_and_without_colour_off_a_terminal(lab):
    lab.filter(RULES + 'drop fragment name "pieces"\n')
    lab.far.send(*[Frames(lab).udp(7002)] * 12)
    lines = lab.ctl("packet", "rules", lab.near.ifname).out.splitlines()
    assert lines[0].split() == ["#", "PACKETS", "BYTES", "RULE", "NAME"]
    assert lines[1].split()[:2] == ["0", "12"] and lines[2].endswith("pieces")
    column = lines[0].index("RULE")
    assert [line[column:].split()[0] for line in lines[1:4]] == ["drop", "drop", "default"]
    assert lines[3].split()[-2:] == ["default", "pass"]
    for verb in (["status"], ["packet", "stats", lab.near.ifname], ["tasks"], ["features"]):
        out = lab.ctl(*verb).out
        assert "\x1b" not in out and not re.search(r" $", out, re.M)
    assert lab.near.ifname in lab.ctl("status").out


def run_on_terminal(lab, *words: str, **extra: str) -> str:
    """What zsyncctl prints when its output is a terminal."""
    master, slave = pty.openpty()
    environment = dict(lab.environment(), TERM="xterm") | extra
    child = subprocess.Popen(["zsyncctl", *words], stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    text = b""
    while select.select([master], [], [], 10)[0]:
        try:
            text += os.read(master, 65536)
        except OSError:
            break
    os.close(master)
    child.wait(10)
    return text.decode()


def test_colour_is_for_terminals_that_want_it(lab):
    lab.filter(RULES)
    assert "\x1b[32mattached\x1b[0m" in run_on_terminal(lab, "status")
    assert "\x1b" not in run_on_terminal(lab, "status", "--no-color")
    assert "\x1b" not in run_on_terminal(lab, "status", NO_COLOR="1")
    assert "\x1b" not in run_on_terminal(lab, "status", TERM="dumb")


def test_absent_daemon_and_absent_bus_say_what_to_do(quiet_lab):
    answer = quiet_lab.ctl("status", check=False)
    assert answer.code == 1 and "zsyncd is not running" in answer.err and "start it" in answer.err
    answer = quiet_lab.ctl("status", "--bus", "unix:path=/nonexistent/bus", check=False)
    assert answer.code == 1 and "cannot reach the bus at unix:path=/nonexistent/bus" in answer.err


def test_option_beats_environment_and_both_choose_the_bus(lab):
    environment = dict(lab.environment(), ZSYNC_BUS_ADDRESS="unix:path=/nonexistent/bus")
    done = subprocess.run(["zsyncctl", "status"], env=environment, capture_output=True)
    assert done.returncode == 1
    done = subprocess.run(["zsyncctl", "--bus", lab.bus_address, "status"], env=environment, capture_output=True)
    assert done.returncode == 0


def test_usage_errors_are_code_2_with_a_hint(lab):
    for words, hint in ((["statsu"], "did you mean 'status'"), (["packet", "attach"], "usage:"), ([], "--help")):
        answer = lab.ctl(*words, check=False)
        assert answer.code == 2 and hint in answer.err and answer.err.count("\n") == 1


def test_output_that_cannot_be_written_is_an_error(lab):
    with open("/dev/full", "w") as full:
        answer = lab.ctl("status", check=False, stdout=full)
    assert answer.code == 1 and "cannot write" in answer.err


def test_load_of_a_file_leaves_no_kernel_worker_that_wakes_an_idle_daemon(lab):
    lab.attach()
    # An overlay cannot promise not to block, so a read on the ring would go to a worker thread of the kernel.
    for name in ("one", "two", "both"):
        (lab.folder / name).mkdir()
    rules = lab.folder / "both" / "rules"
    (lab.folder / "one" / "rules").write_text("drop fragment\n")
    layers = f"lowerdir={lab.folder}/one:{lab.folder}/two"
    subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", str(rules.parent)], check=True)
    try:
        lab.ctl("packet", "load", lab.near.ifname, str(rules))
    finally:
        subprocess.run(["umount", str(rules.parent)], check=True)
    threads = [path.read_text().strip() for path in pathlib.Path(f"/proc/{lab.daemon.pid}/task").glob("*/comm")]
    assert "zsyncd" in threads and not [name for name in threads if name.startswith("iou-wrk")], threads


def test_load_over_a_pipe_that_is_slow(lab):
    lab.attach()
    child = subprocess.Popen(
        ["zsyncctl", "packet", "load", lab.near.ifname, "-"], stdin=subprocess.PIPE, env=lab.environment(), text=True
    )
    for word in ("drop ", "frag", "ment\n"):
        child.stdin.write(word)
        child.stdin.flush()
    child.stdin.close()
    assert child.wait(10) == 0
    assert [rule["text"] for rule in lab.rules()] == ["drop fragment"]


def test_watch_prints_one_object_a_line_with_rates(lab):
    lab.filter(RULES)
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            lab.far.send(*[Frames(lab).udp(7002)] * 20)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        out = lab.ctl("packet", "watch", lab.near.ifname, "--json", "--interval", "0.2", "--count", "3").out
    finally:
        stop.set()
        sender.join()
    first, second, third = (json.loads(line) for line in out.splitlines())
    assert first["packets_per_second"] is None
    for before, now in ((first, second), (second, third)):
        check_shape(now, "stats")
        check_shape(now["rule_list"][0], "rules")
        seconds = (now["time_us"] - before["time_us"]) / 1e6
        grown = now["packets"] - before["packets"]
        assert grown > 0
        assert now["packets_per_second"] == pytest.approx(grown / seconds, rel=0.05)
        assert now["rule_list"][0]["packets_per_second"] > 0


def test_watch_off_a_terminal_repeats_plain_tables(lab):
    lab.filter(RULES)
    out = lab.ctl("packet", "watch", lab.near.ifname, "--interval", "0.1", "--count", "3").out
    assert out.count("PKT/S") == 2 * 3 and "\x1b" not in out
    assert out.count("drop proto udp dport 7002") == 3


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_watch_ends_cleanly_by_a_signal(lab, how):
    lab.filter(RULES)
    child = start(
        *("zsyncctl", "packet", "watch", lab.near.ifname, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=lab.environment(),
        text=True,
    )
    json.loads(child.stdout.readline())
    child.send_signal(how)
    rest, errors = child.communicate(timeout=10)
    assert (child.returncode, errors) == (0, "")
    for line in rest.splitlines():
        json.loads(line)


class Terminal:
    """zsyncctl packet watch on a terminal of its own."""

    def __init__(self, lab, rows: int = 24, columns: int = 100):
        master, slave = pty.openpty()
        subprocess.run(["stty", "rows", str(rows), "cols", str(columns)], stdin=slave, check=True)
        self.settings = lambda: subprocess.run(["stty", "-g"], stdin=slave, capture_output=True).stdout
        self.before = self.settings()
        self.master = master
        self.child = subprocess.Popen(
            ["zsyncctl", "packet", "watch", lab.near.ifname, "--interval", "0.2"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=dict(lab.environment(), TERM="xterm"),
            start_new_session=True,
        )
        self.text = ""

    def read_until(self, words: str, seconds_max: float = 10) -> None:
        deadline = time.monotonic() + seconds_max
        while words not in self.text:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], f"no {words!r} in {self.text!r}"
            self.text += os.read(self.master, 65536).decode()

    def end(self, key: bytes) -> int:
        os.write(self.master, key)
        self.read_until("\x1b[?1049l")
        return self.child.wait(10)


def test_watch_fills_the_screen_and_leaves_the_terminal_as_it_was(lab):
    lab.filter(RULES)
    terminal = Terminal(lab)
    terminal.read_until("\x1b[?1049h")
    terminal.read_until("PKT/S")
    terminal.read_until("drop proto udp dport 7002")
    assert terminal.end(b"q") == 0
    assert terminal.settings() == terminal.before


def test_watch_waits_for_a_daemon_that_restarts_and_ends_when_detached(lab):
    lab.filter(RULES)
    terminal = Terminal(lab)
    terminal.read_until("every 0.2 s")
    lab.stop_daemon(signal.SIGKILL)
    terminal.read_until("zsyncd is away")
    terminal.text = ""
    lab.start_daemon()
    terminal.read_until("every 0.2 s")
    lab.ctl("packet", "detach", lab.near.ifname)
    terminal.read_until("no filter is attached")
    assert terminal.child.wait(10) == 1
    assert terminal.settings() == terminal.before


def test_watch_follows_the_size_of_the_window(lab):
    lab.filter("".join(f"drop vlan {number}\n" for number in range(1, 60)))
    terminal = Terminal(lab, rows=20, columns=60)
    terminal.read_until("more lines")
    page = terminal.text.split("\x1b[H")[-1]
    assert all(len(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line)) <= 60 for line in page.split("\r\n"))
    assert terminal.end(b"\x04") == 0


def test_completion_offers_what_is_attached(lab):
    lab.attach()
    completion = TOP / "userspace/zsyncctl/completion/zsyncctl"
    script = f'source "{completion}" 2>/dev/null; bus=(); _zsyncctl_attached'
    done = subprocess.run(["bash", "-c", script], env=lab.environment(), capture_output=True, text=True)
    assert done.stdout.split() == [lab.near.ifname]


def test_many_calls_side_by_side(lab):
    lab.filter(RULES)
    children = [
        subprocess.Popen(["zsyncctl", "packet", "stats", lab.near.ifname, "--json"], env=lab.environment(), stdout=subprocess.PIPE)
        for _ in range(40)
    ]
    for child in children:
        assert json.loads(child.communicate(timeout=60)[0])["ifname"] == lab.near.ifname
    wait_until("quiet", lambda: not [t for t in lab.json("tasks") if "GetAll" in t["name"]])
