"""Rules that limit: what zsyncctl and the bus show of them, another rate, and a restart."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket

import pytest
from lab import command, wait_until

RULES = """pass limit 1/d burst 20 by source proto udp dport 7002 name "few"
pass out limit 1/d burst 8 by dport proto udp dport 7003
"""


def limits(lab, *words: str) -> list[dict]:
    return lab.json("packet", "limits", lab.near.ifname, *words)


def send(host, address: tuple[str, int], packets: int) -> None:
    with host.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(packets):
            sender.sendto(b"x", address)


def test_limits_are_shown_changed_and_kept(lab):
    lab.filter(RULES)
    assert [(row["hook"], row["passed"], row["limited"], row["keys"]) for row in limits(lab)] == [("in", 0, 0, 0), ("out", 0, 0, 0)]
    send(lab.far, (lab.near.v4, 7002), 50)
    send(lab.near, (lab.far.v4, 7003), 10)
    first, second = limits(lab)
    assert first == {
        "index": 0,
        "hook": "in",
        "rule": "pass limit 1/d burst 20 by source proto udp dport 7002",
        "name": "few",
        "rate": "1/d burst 20",
        "rate_now": "1/d",
        "passed": 20,
        "limited": 30,
        "keys": 1,
        "most_limited": [{"key": lab.far.v4, "limited": 30}],
    }
    assert (second["passed"], second["limited"], second["most_limited"]) == (8, 2, [{"key": "port 7003", "limited": 2}])
    assert limits(lab, "--keys", "0")[0]["most_limited"] == []
    assert [(rule["packets"], rule["limited"]) for rule in lab.rules()] == [(50, 30), (10, 2)]
    shown = lab.ctl("packet", "rules", lab.near.ifname).out.splitlines()
    assert shown[0].split() == ["#", "PACKETS", "BYTES", "LIMITED", "RULE", "NAME"]
    assert shown[1].split()[3] == "30"
    table = lab.ctl("packet", "limits", lab.near.ifname).out
    assert table.splitlines()[0].split() == ["#", "HOOK", "RATE", "NOW", "PASSED", "LIMITED", "KEYS", "RULE"]
    assert table.splitlines()[2].split() == ["30", lab.far.v4]

    # Another burst is five more, and not 25 again: whoever is limited stays so.
    answer = lab.json("packet", "limits", lab.near.ifname, "set", "0", "1/d", "burst", "25")
    assert answer["rule"] == "pass limit 1/d burst 25 by source proto udp dport 7002"
    send(lab.far, (lab.near.v4, 7002), 50)
    assert [(row["rate"], row["passed"]) for row in limits(lab)] == [("1/d burst 25", 5), ("1/d burst 8", 8)]
    lab.stop_daemon(signal.SIGKILL)
    send(lab.far, (lab.near.v4, 7002), 10)
    lab.start_daemon()
    send(lab.far, (lab.near.v4, 7002), 10)
    first = limits(lab)[0]
    assert (first["rate"], first["name"], first["passed"], first["limited"]) == ("1/d burst 25", "few", 5, 65)


FULL, FLOOR = 20000, 100
ADAPTIVE = f"pass out limit {FULL}/s burst 2000 adaptive {FLOOR}/s on {{}} proto udp dport 7003\n"


def rate(lab) -> int:
    return int(limits(lab)[0]["rate_now"].removesuffix("/s"))


def falls_while(lab, work, low: int = FLOOR) -> None:
    """From the whole rate to `low`, as long as `work` is done."""
    assert rate(lab) == FULL

    def is_low() -> bool:
        work()
        return rate(lab) <= low

    wait_until("the limit to give way", is_low)


def rises(lab) -> None:
    """Step by step, over a restart, and up to the whole rate."""
    some = rate(lab) + 3 * FULL // 50
    wait_until("the limit to recover", lambda: rate(lab) >= some)
    lab.stop_daemon(signal.SIGKILL)
    lab.start_daemon()
    assert rate(lab) >= some, "a restart goes on where it was"
    wait_until("the limit to be whole again", lambda: rate(lab) == FULL)


# At less than 230 packets a second nothing more is dropped, and the rate goes up and down from there.
@pytest.mark.parametrize(("sign", "low"), [("drops", 1000), ("queue 3", FLOOR)])
def test_an_adaptive_limit_follows_a_real_queue(lab, sign, low):
    lab.filter(ADAPTIVE.format(sign))
    near, far = lab.near, lab.far
    near.run("tc", "qdisc", "add", "dev", near.ifname, "root", "tbf", "rate", "1mbit", "burst", "3000", "limit", "10000")

    def queue() -> dict:
        return json.loads(near.run("tc", "-j", "-s", "qdisc", "show", "dev", near.ifname, "root").stdout)[0]

    assert queue()["drops"] == 0
    with near.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        falls_while(lab, lambda: [sender.sendto(bytes(500), (far.v4, 7003)) for _ in range(500)], low)
    assert queue()["drops"] > 0, "nothing was dropped"
    rises(lab)


def test_an_adaptive_limit_follows_what_the_device_itself_drops(lab):
    """A veth drops, and counts as tx_dropped, what its other end takes no frames so long of; no qdisc has a part in it."""
    lab.filter(ADAPTIVE.format("drops"))
    near, far = lab.near, lab.far
    far.ip("link", "set", far.ifname, "mtu", "1280")
    near.run("tc", "qdisc", "replace", "dev", near.ifname, "root", "pfifo", "limit", "100000")

    def dropped() -> int:
        return near.link()["stats64"]["tx"]["dropped"]

    before = dropped()
    with near.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        falls_while(lab, lambda: [sender.sendto(bytes(1400), (far.v4, 7003)) for _ in range(50)])
    assert dropped() > before
    (queue,) = json.loads(near.run("tc", "-j", "-s", "qdisc", "show", "dev", near.ifname, "root").stdout)
    assert queue["drops"] == 0
    rises(lab)


@contextlib.contextmanager
def overwhelmed_backlog(lab):
    """Another veth pair between the two sides, whose receiver hands packets to the backlog of one processor, which needs far
    longer for each than a sender on another one. Gives what keeps it busy for a while."""
    near, far = f"{lab.near.ifname}s", f"{lab.far.ifname}s"
    lab.near.ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", lab.far.namespace)
    try:
        lab.near.ip("addr", "add", "198.51.100.1/24", "dev", near)
        lab.near.ip("link", "set", near, "up")
        lab.far.ip("addr", "add", "198.51.100.2/24", "dev", far)
        lab.far.ip("link", "set", far, "up")
        lab.near.ip("neigh", "replace", "198.51.100.2", "lladdr", lab.far.link(far)["address"], "nud", "permanent", "dev", near)
        steer = f"echo 2 >/sys/class/net/{far}/queues/rx-0/rps_cpus"
        command("ip", "netns", "exec", lab.far.namespace, "sh", "-ec", steer)
        rules = "\n".join(f"udp dport {port} drop" for port in range(10_000, 14_000))
        hook = f"type filter hook ingress device {far} priority 0"
        lab.far.run("nft", "-f", "-", input=f"table netdev slow {{\nchain long {{\n{hook}\n{rules}\n}}\n}}\n")
        with lab.near.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            so_sndbufforce = 32  # what waits in the backlog still counts for the sender
            sender.setsockopt(socket.SOL_SOCKET, so_sndbufforce, 1 << 24)

            def flood() -> None:
                for _ in range(20_000):
                    sender.sendto(b"", ("198.51.100.2", 9))

            yield flood
    finally:
        lab.near.ip("link", "del", near)


def backlog_drops() -> int:
    lines = pathlib.Path("/proc/net/softnet_stat").read_text().splitlines()
    return sum(int(line.split()[1], 16) for line in lines)


@pytest.mark.skipif(os.cpu_count() < 2, reason="needs two processors: one that sends, one that falls behind")
def test_an_adaptive_limit_follows_the_backlog_before_the_stack(lab):
    """The device of the limit loses nothing itself: its host has too much to do with what comes elsewhere."""
    lab.filter(ADAPTIVE.format("drops"))
    before = backlog_drops()
    mine = os.sched_getaffinity(0)
    with overwhelmed_backlog(lab) as flood:
        os.sched_setaffinity(0, {0})
        try:
            falls_while(lab, flood, FULL // 4)
        finally:
            os.sched_setaffinity(0, mine)
    assert backlog_drops() > before
    device = lab.near.link()["stats64"]
    assert device["tx"]["dropped"] == 0 and device["rx"].get("missed_errors", 0) == 0
    rises(lab)


class Processors:
    """What zsyncd reads of the processors, in the mount namespace of the lab: they idle while this is in place of /proc/stat."""

    def __init__(self, lab):
        self.lab = lab
        self.file = lab.folder / "stat"
        self.ticks = 10**12
        self.idle()

    def idle(self) -> bool:
        self.ticks += 10
        self.file.write_text(f"cpu  1000 0 1000 {self.ticks} 0 0 0 0 0 0\n")
        return True

    def _in_the_daemon(self, *words: str) -> None:
        command("nsenter", "-t", str(self.lab.daemon.pid), "-m", *words)

    @contextlib.contextmanager
    def covered(self):
        self._in_the_daemon("mount", "--bind", str(self.file), "/proc/stat")
        try:
            yield
        finally:
            self._in_the_daemon("umount", "/proc/stat")


def test_an_adaptive_limit_follows_the_processors(lab):
    """Slower by what the processors really do, which is more than nothing; and faster when they are said to idle, which
    this machine's seldom do."""
    lab.filter("drop proto udp dport 7003\n")
    processors = Processors(lab)
    with processors.covered():
        lab.load(ADAPTIVE.format("cpu 1"))
        wait_until("the limit to be whole", lambda: processors.idle() and rate(lab) == FULL)
    wait_until("the limit to give way", lambda: sum(range(100_000)) > 0 and rate(lab) == FLOOR)
    with processors.covered():
        wait_until("the limit to recover", lambda: processors.idle() and rate(lab) >= FLOOR + 3 * FULL // 50)
        wait_until("the limit to be whole again", lambda: processors.idle() and rate(lab) == FULL)


PACKET = pathlib.Path(__file__).parents[2] / "userspace/zsync/packet"


def constants(path: pathlib.Path, prefix: str) -> dict[str, int]:
    """The constants of a limits.hpp, times in milliseconds, as the bus should name them."""
    text = re.sub(r"//[^\n]*", "", path.read_text())
    values: dict[str, int] = {}
    found = re.findall(r"constexpr\s+([\w:]+)\s+(\w+)\s*(?:=\s*([^;]+)|\{([^}]*)\})\s*;", text)
    for kind, name, assigned, braced in found:
        words = re.sub(r"std::\w+\{(\d+)U?\}", r"\1", assigned or braced).replace("'", "")
        value = int(eval(re.sub(r"(\d)U", r"\1", words).replace("/", "//"), {}, values))
        values[name] = value * 1000 if kind == "std::chrono::seconds" else value
    assert len(values) == text.count("constexpr")
    times = {kind_name[1] for kind_name in found if "chrono" in kind_name[0]}
    return {prefix + name + ("_ms" if name in times else ""): value for name, value in values.items()}


def test_a_limit_adapts_on_after_its_interface_was_away(lab):
    lab.filter("pass limit 1000/s adaptive 10/s on cpu 1\n")
    lab.far.ip("link", "del", lab.far.ifname)
    wait_until("absent", lambda: lab.property("State") == "absent")
    lab.make_link()
    wait_until("attached", lambda: lab.property("State") == "attached")
    now = lambda: lab.json("packet", "limits", lab.near.ifname)[0]["rate_now"]  # noqa: E731
    wait_until("another rate, for asking keeps processors busy", lambda: now() != "1000/s")


def test_every_limit_is_on_the_bus(lab):
    wanted = constants(PACKET / "limits.hpp", "")
    wanted |= constants(PACKET / "analysis/limits.hpp", "analysis_")
    wanted |= constants(PACKET / "xsk/limits.hpp", "xsk_")
    assert len(wanted) > 80 and wanted["limit_keys_max"] == 131072 and wanted["analysis_alerts_kept_max"] == 1000
    shown = lab.property("Limits", "/org/zsync1/packet", "org.zsync1.Packet")
    assert {name: shown.get(name) for name in wanted} == wanted
    of_the_service = {"jobs_max", "replays_max", "captures_max", "capture_duration_us_max"}
    of_the_service |= {"takes_max", "take_queues_max", "take_frames", "take_send_entries"}
    assert set(shown) - set(wanted) == of_the_service


def test_what_cannot_be_changed_is_refused_in_words(lab):
    lab.filter("pass limit 5/s proto icmp\ndrop proto udp dport 7002\n")

    def refused(*words: str) -> str:
        answer = lab.ctl("packet", "limits", lab.near.ifname, *words, check=False)
        assert answer.code != 0
        return answer.err

    assert "has 1 limit, numbered from 0" in refused("set", "1", "9/s")
    assert "no loaded rule that limits has the text" in refused("set", "drop proto udp dport 7002", "9/s")
    assert "is no rate" in refused("set", "0", "9/s by source")
    assert "a rate should be" in refused("set", "0", "fast")
    assert "name it and its rate" in refused("set", "0")
    assert "no number from 0 to 64" in refused("--keys", "65")
    assert limits(lab)[0]["rate"] == "5/s burst 5"


def test_how_a_rule_limits_stays_when_its_rate_changes(lab):
    lab.filter("pass out limit 50/s burst 9 by cgroup token adaptive 5/s on cpu 99 proto udp dport 7003\n")
    answer = lab.json("packet", "limits", lab.near.ifname, "set", "0", "70/s")
    assert answer["rule"] == "pass out limit 70/s burst 7 by cgroup token adaptive 5/s on cpu 99 proto udp dport 7003"
    answer = lab.ctl("packet", "limits", lab.near.ifname, "set", "0", "4/s", check=False)
    assert answer.code == 1 and "a lowest rate should be" in answer.err


def test_an_interface_without_limits_shows_none(lab):
    lab.filter("drop proto udp dport 7002\n")
    assert limits(lab) == [] and lab.ctl("packet", "limits", lab.near.ifname).out == "no rule limits\n"
