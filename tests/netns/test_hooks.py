"""One rule file for what an interface receives, what it sends, and the sockets of a cgroup."""

import contextlib
import os
import pathlib
import signal
import socket
import time

import pytest
from lab import command, wait_until
from test_capture import capturing, end_of, judged


def unified_mount() -> pathlib.Path:
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ", 1)
        if right.split()[0] == "cgroup2":
            return pathlib.Path(left.split()[4])
    pytest.skip("needs cgroup2")


def own_cgroup() -> str:
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return line[3:].rstrip("/")
    raise AssertionError("no cgroup2 in /proc/self/cgroup")


@pytest.fixture
def cgroup():
    """A cgroup of this test's own, by the path that rules use; gone with the test."""
    path = f"{own_cgroup()}/zsync-hooks-test-{os.getpid()}"
    folder = unified_mount() / path.lstrip("/")
    folder.mkdir()
    try:
        yield path
    finally:
        folder.rmdir()


@contextlib.contextmanager
def inside(cgroup: str):
    """This process in the cgroup: sockets made here are its."""
    mount = unified_mount()
    (mount / cgroup.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        (mount / own_parent(cgroup).lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))


def own_parent(cgroup: str) -> str:
    return cgroup.rsplit("/", 1)[0]


def hooks(lab) -> dict[str, dict]:
    return {hook["hook"]: hook for hook in lab.stats()["hooks"]}


def test_one_file_filters_both_ways_and_sockets_and_survives_a_restart(lab, cgroup):
    lab.filter(
        f"""drop proto udp dport 7001
default out pass
drop out proto udp dport 7002 name "no sending"
cgroup {cgroup} {{
    drop out proto udp dport 7003
}}
"""
    )
    near, far = lab.near, lab.far
    with inside(cgroup):
        ours = near.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other = near.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender = far.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listeners = {}
    for port in (7002, 7003):
        listeners[port] = far.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listeners[port].bind((far.v4, port))
        listeners[port].settimeout(5)

    def speak():
        sender.sendto(b"x", (near.v4, 7001))
        with contextlib.suppress(OSError):  # a filter of what is sent may say so
            other.sendto(b"x", (far.v4, 7002))
        with pytest.raises(PermissionError):
            ours.sendto(b"x", (far.v4, 7003))
        other.sendto(b"x", (far.v4, 7003))
        assert listeners[7003].recv(10) == b"x"

    speak()
    counts = {(rule.get("hook", "in"), rule["text"]): rule["packets"] for rule in lab.rules()}
    assert counts[("in", "drop proto udp dport 7001")] == 1
    assert counts[("out", "drop out proto udp dport 7002")] == 1
    assert counts[(f"out {cgroup}", "drop out proto udp dport 7003")] == 1
    assert set(hooks(lab)) == {"in", "out", f"out {cgroup}"}

    # While zsyncd is gone everything goes on; the next one takes it over with its counts.
    lab.stop_daemon(signal.SIGKILL)
    speak()
    lab.start_daemon()
    after = hooks(lab)
    assert after["in"]["dropped"] == 2 and after["out"]["dropped"] == 2 and after[f"out {cgroup}"]["dropped"] == 2
    text = lab.ctl("packet", "rules", near.ifname).out
    assert f"\nout {cgroup}:\n" in text and "no sending" in text

    def explain(hook: str, packet: str) -> list[str]:
        told = lab.json("packet", "explain", near.ifname, packet, "--hook", hook)
        return [told["verdict"], told["text"], *told["reasons"]]

    sent = f"udp {near.v4} > {far.v4}"
    assert explain("out", f"{sent}:7002") == ["drop", "drop out proto udp dport 7002", "proto: udp", "dport: 7002"]
    assert explain("out", f"{sent}:7003") == ["pass", "default pass"]
    assert explain(f"out {cgroup}", f"{sent}:7003")[:2] == ["drop", "drop out proto udp dport 7003"]
    told = lab.ctl("packet", "explain", near.ifname, f"{sent}:1", "--hook", "in /no", check=False)
    assert told.code == 1 and f"'in', 'out', 'out {cgroup}'" in told.err

    # Rules without other hooks leave only the interface's own program.
    lab.load("drop proto udp dport 7001\n")
    assert set(hooks(lab)) == {"in"}
    ours.sendto(b"x", (far.v4, 7003))
    assert listeners[7003].recv(10) == b"x"
    lab.ctl("packet", "detach", near.ifname)
    assert not [entry for folder in lab.bpf_dir.glob("packet*") for entry in folder.iterdir()]


def test_a_file_that_cannot_be_applied_whole_changes_nothing(lab):
    lab.filter("drop proto udp dport 7001\ndrop out proto udp dport 7002\n")
    before = [rule["text"] for rule in lab.rules()]
    answer = lab.load("pass\ndrop out vlan 1\ncgroup /no/such/cgroup {\n drop\n}\n", check=False)
    assert answer.code == 1 and "there is no cgroup '/no/such/cgroup'" in answer.err, answer
    assert [rule["text"] for rule in lab.rules()] == before
    assert set(hooks(lab)) == {"in", "out"}


def arrives(lab, sender: socket.socket, port: int) -> bool:
    """Whether a datagram to the far end is received there."""
    with lab.far.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind((lab.far.v4, port))
        listener.settimeout(0.3)
        with contextlib.suppress(PermissionError):
            sender.sendto(b"x", (lab.far.v4, port))
        try:
            return listener.recv(10) == b"x"
        except TimeoutError:
            return False


def state(lab) -> str:
    return lab.property("State")


def away_and_back(lab) -> None:
    lab.far.ip("link", "del", lab.far.ifname)
    wait_until("absent", lambda: state(lab) == "absent")
    lab.make_link()
    wait_until("attached", lambda: state(lab) == "attached")


NAMES = """drop proto udp dport 7001
cgroup {cgroup} {{
    drop out proto udp dport 7003
}}
drop out interface {other} proto udp dport 7004
drop out proto udp dport 7002
pass redirect {other} proto udp dport 7005
"""


def test_what_names_something_that_is_not_there_keeps_no_other_rule_from_its_place(lab, cgroup):
    other = f"{lab.near.ifname}o"
    lab.near.ip("link", "add", other, "type", "veth", "peer", "name", f"{other}p")
    lab.near.run("ethtool", "-K", f"{other}p", "gro", "on")
    lab.attach("--mode", "generic")
    lab.load(NAMES.format(cgroup=cgroup, other=other))
    folder = unified_mount() / cgroup.lstrip("/")
    lab.near.ip("link", "del", other)
    folder.rmdir()
    sender = lab.near.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        # As after a reboot: the interface is there, and what its rules name not yet.
        away_and_back(lab)
        reason = lab.stats()["state_reason"]
        assert f"the interface '{other}' and the cgroup '{cgroup}' are not in force" in reason, reason
        assert set(hooks(lab)) == {"in", "out"}
        assert not arrives(lab, sender, 7002) and arrives(lab, sender, 7003)
        for port in (7001, 7005, 7006):
            lab.far.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (lab.near.v4, port))
        wait_until("packets", lambda: hooks(lab)["in"]["dropped"] == 2 and hooks(lab)["in"]["passed"] >= 1)
        # A person who loads rules is told, and what changes of itself goes on.
        refused = lab.load(NAMES.format(cgroup=cgroup, other=other), check=False)
        assert refused.code == 1 and "there is no " in refused.err, refused
        lab.ctl("packet", "rule", "add", lab.near.ifname, "--for", "1s", "drop proto udp dport 7006")
        assert len(lab.rules()) == 4
        wait_until("the end of a rule's time", lambda: len(lab.rules()) == 3)
    finally:
        folder.mkdir()
    lab.near.ip("link", "add", other, "type", "veth", "peer", "name", f"{other}p")
    wait_until("all of the rules", lambda: lab.stats()["state_reason"] == "" and len(lab.rules()) == 5)
    assert set(hooks(lab)) == {"in", "out", f"out {cgroup}"}
    with inside(cgroup):
        ours = lab.near.socket(socket.AF_INET, socket.SOCK_DGRAM)
    assert not arrives(lab, ours, 7003) and arrives(lab, sender, 7003)


def test_a_temporary_rule_ends_although_a_cgroup_of_the_rules_is_gone(lab, cgroup):
    lab.filter(f"cgroup {cgroup} {{\n drop out proto udp dport 7003\n}}\ndrop out proto udp dport 7002\n")
    lab.ctl("packet", "rule", "add", lab.near.ifname, "--for", "2s", "drop proto icmp")
    folder = unified_mount() / cgroup.lstrip("/")
    folder.rmdir()
    try:
        wait_until("the end of its time", lambda: lab.stats()["temporary"] == [])
        assert "drop proto icmp" not in [rule["text"] for rule in lab.rules()]
        assert set(hooks(lab)) == {"in", "out"}
    finally:
        folder.mkdir()


def test_a_new_device_of_the_name_of_one_that_moved_sends_by_the_rules(lab):
    lab.filter("drop proto udp dport 7001\ndrop out proto udp dport 7002\n")
    near, other = lab.near, f"{lab.near.namespace}m"
    command("ip", "netns", "add", other)
    try:
        near.ip("link", "set", near.ifname, "netns", other)
        wait_until("moved", lambda: state(lab) == "moved")
        lab.far.ip("link", "set", lab.far.ifname, "name", "aside")
        lab.make_link()
        wait_until("attached", lambda: state(lab) == "attached")
        assert not arrives(lab, near.socket(socket.AF_INET, socket.SOCK_DGRAM), 7002)
        assert hooks(lab)["out"]["dropped"] == 1
        seen = command("ip", "netns", "exec", other, "bpftool", "net", "show", "dev", near.ifname).stdout
        assert "zsync" not in seen, seen
    finally:
        command("ip", "netns", "del", other)


def test_an_interface_that_gives_its_name_away_leaves_no_filter_of_a_cgroup(lab, cgroup):
    block = f"cgroup {cgroup} {{\n drop out proto udp dport 7003\n}}\n"
    lab.filter(block)
    staying = f"{lab.near.ifname}s"
    lab.near.ip("link", "add", staying, "type", "veth", "peer", "name", f"{staying}p")
    lab.ctl("packet", "attach", staying)
    (lab.folder / "staying.rules").write_text(block.replace("7003", "7004"))
    lab.ctl("packet", "load", staying, "staying.rules", cwd=lab.folder)
    lab.far.ip("link", "del", lab.far.ifname)
    wait_until("absent", lambda: state(lab) == "absent")
    lab.near.ip("link", "set", staying, "name", lab.near.ifname)
    wait_until("the name", lambda: [i["ifname"] for i in lab.json("status")["interfaces"]] == [lab.near.ifname])
    assert lab.stats()["state_reason"] == ""
    assert [rule["text"] for rule in lab.rules()] == ["drop out proto udp dport 7004"]
    lab.ctl("packet", "detach", lab.near.ifname)
    assert not [entry for folder in lab.bpf_dir.glob("packet*") for entry in folder.iterdir()]
    with inside(cgroup), lab.near.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        for port in (7003, 7004):
            ours.sendto(b"x", ("127.0.0.1", port))  # refused where a filter is left


def test_samples_and_merged_packets_are_counted(lab):
    lab.filter("pass sample 1/1 proto udp dport 7001\n")
    with lab.far.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(3):
            sender.sendto(b"x", (lab.near.v4, 7001))
    assert hooks(lab)["in"]["sampled"] == 3
    assert "sampled" in lab.ctl("packet", "stats", lab.near.ifname).out


def test_a_temporary_rule_comes_first_survives_a_restart_and_ends_on_time(lab):
    lab.filter("pass proto udp dport 7001\ndrop out proto udp dport 7002\n")
    ifname = lab.near.ifname
    rule = f"drop from {lab.far.v4} proto udp dport 7001"
    sender = lab.far.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def dropped() -> bool:
        before = lab.stats()["dropped"]
        sender.sendto(b"x", (lab.near.v4, 7001))
        return lab.stats()["dropped"] > before

    assert not dropped()
    answer = lab.json("packet", "rule", "add", ifname, "--for", "1h", rule)
    assert answer["expires_at_us"] > (time.time() + 3500) * 1e6
    assert dropped() and lab.rules()[0]["text"] == rule
    lab.load("pass proto udp\n")
    assert dropped(), "loading rules keeps it"
    lab.stop_daemon(signal.SIGKILL)
    lab.start_daemon()
    assert dropped()
    assert [row["rule"] for row in lab.stats()["temporary"]] == [rule]
    assert f": {rule}\n" in lab.ctl("packet", "stats", ifname).out
    # Given another time it ends on it, and so does one whose time was over while zsyncd was gone.
    lab.ctl("packet", "rule", "add", ifname, "--for", "1s", rule)
    assert len(lab.stats()["temporary"]) == 1
    wait_until("the rule's end", lambda: not lab.stats()["temporary"])
    assert not dropped()
    lab.ctl("packet", "rule", "add", ifname, "--for", "1s", rule)
    lab.stop_daemon()
    wait_until("the rule's end", lambda end=time.time() + 1: time.time() > end)
    lab.start_daemon()
    assert not dropped()
    # And one that is taken out.
    lab.ctl("packet", "rule", "add", ifname, "--for", "7d", "drop", "proto", "udp")
    assert dropped()
    lab.ctl("packet", "rule", "remove", ifname, "drop proto udp")
    assert not dropped()


def test_temporary_rules_that_cannot_be_are_refused_in_words(lab):
    lab.filter("pass\n")
    ifname = lab.near.ifname
    for words, code, error in (
        (("add", ifname, "--for", "10m", "drop from 10.1.0.0/8"), 1, "use 10.0.0.0/8"),
        (("add", ifname, "--for", "10m", "default drop"), 1, "this is no rule"),
        (("add", ifname, "--for", "10m", "drop from @bad"), 1, "there is no set"),
        (("remove", ifname, "drop"), 1, "no temporary rule 'drop'"),
        (("add", ifname, "drop"), 2, "--for"),
        (("add", ifname, "--for", "10", "drop"), 2, "no time"),
        (("plus", ifname, "drop"), 2, "neither add nor remove"),
    ):
        answer = lab.ctl("packet", "rule", *words, check=False)
        assert answer.code == code and error in answer.err, answer
    assert lab.stats()["temporary"] == [] and len(lab.rules()) == 1


def test_samples_of_a_cgroups_sockets_are_captured(lab, cgroup):
    lab.filter(
        f"""pass
cgroup {cgroup} {{
    drop out proto udp dport 7003 sample 1/1 name "no 7003"
    pass in proto udp dport 7004 sample 1/1
}}
"""
    )
    near, far = lab.near, lab.far
    with inside(cgroup):
        ours = near.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ours.bind((near.v4, 7004))
    other = near.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with ours, other, far.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        with capturing(lab, "--samples", f"out {cgroup}", "--count", "2") as (capture, path):
            other.sendto(b"not of the cgroup", (far.v4, 7003))
            for _ in range(2):
                with pytest.raises(PermissionError):
                    ours.sendto(b"of the cgroup", (far.v4, 7003))
            end_of(capture)
        # pcapng has no verdict of this hook; the rule says it.
        assert judged(path) == [["no 7003: drop out sample 1/1 proto udp dport 7003", "", "", "7003"]] * 2
        with capturing(lab, "--samples", f"in {cgroup}", "--count", "1") as (capture, path):
            sender.sendto(b"passed", (near.v4, 7004))
            end_of(capture)
        assert judged(path) == [["pass sample 1/1 proto udp dport 7004", "", "", "7004"]]


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_marks_of_what_comes_in_route_and_survive_a_restart(lab, mode):
    """What XDP marks, `ip rule fwmark` routes, tcpdump beside it or not, and with no zsyncd too."""
    near, far = lab.near, lab.far
    # Before the table of the host's own addresses, which comes first otherwise.
    near.ip("rule", "add", "pref", "20", "lookup", "local")
    near.ip("rule", "del", "pref", "0")
    near.ip("rule", "add", "pref", "10", "fwmark", "0x7", "blackhole")
    receivers = {}
    for port in (7001, 7002):
        receivers[port] = near.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receivers[port].bind((near.v4, port))
        receivers[port].settimeout(5)
    receivers[7001].setblocking(False)
    sender = far.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def speak():
        for port in (7001, 7002):
            sender.sendto(b"x", (near.v4, port))
        assert receivers[7002].recv(10) == b"x"
        with pytest.raises(BlockingIOError):
            receivers[7001].recv(10)

    lab.filter("pass mark 7 proto udp dport 7001\n", "--mode", mode)
    speak()
    with near.recorded(lab.folder / "marked.pcap"):
        speak()
    lab.stop_daemon(signal.SIGKILL)
    speak()
    lab.start_daemon()
    speak()
    counters = hooks(lab)["in"]
    assert lab.packets()[0] == 4 and counters.get("unmarked", 0) == 0
    lab.load("pass proto udp dport 7001\n")
    sender.sendto(b"y", (near.v4, 7001))
    receivers[7001].settimeout(5)
    assert receivers[7001].recv(10) == b"y"
