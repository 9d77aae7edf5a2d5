"""Interfaces that go away, come back, get another name or another namespace: handled, and said on the bus."""

import json
import signal

import pytest
from frames import Frames
from lab import command, start, wait_until
from traffic import RULES


@pytest.fixture
def signals(lab):
    """Lines of JSON, one for each signal of zsyncd's objects from here on."""
    path = lab.folder / "signals"
    with open(path, "wb") as out:
        monitor = start(
            *("stdbuf", "-oL", "busctl", f"--address={lab.bus_address}", "--json=short", "monitor", "org.zsync1"),
            stdout=out,
            stderr=out,
        )

        def listens() -> bool:
            assert monitor.poll() is None, path.read_text()
            lab.ctl("jobs")  # something for it to see
            return b"GetAll" in path.read_bytes()

        wait_until("busctl monitor", listens)

        def seen(member: str) -> list[dict]:
            lines = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
            return [line for line in lines if line.get("member") == member]

        yield seen
        monitor.terminate()
        monitor.wait()


def state(lab) -> str:
    return lab.property("State")


def changed(signals, name: str) -> list:
    """The values that a property took, as told by PropertiesChanged."""
    found = []
    for line in signals("PropertiesChanged"):
        interface, properties = line["payload"]["data"][:2]
        if interface == "org.zsync1.PacketInterface" and name in properties:
            found.append(properties[name]["data"])
    return found


def objects(signals, member: str) -> list[str]:
    """The interfaces' objects that InterfacesAdded or InterfacesRemoved told of."""
    paths = [line["payload"]["data"][0] for line in signals(member)]
    return [path for path in paths if path.startswith("/org/zsync1/packet/")]


def test_deleted_interface_is_absent_and_filtered_again_when_it_is_back(lab, signals):
    lab.filter(RULES)
    old = lab.property("Ifindex")
    lab.far.ip("link", "del", lab.far.ifname)
    wait_until("absent", lambda: state(lab) == "absent")
    stats = lab.stats()
    assert stats["mode"] == "" and stats["state_reason"]
    assert lab.near.ifname in lab.ctl("status").out
    lab.make_link()
    wait_until("attached again", lambda: state(lab) == "attached")
    assert lab.property("Ifindex") != old or lab.near.link()["ifindex"] == old
    lab.far.send(*[Frames(lab).udp(7002)] * 5)
    assert lab.packets() == [5]
    wait_until("signals", lambda: changed(signals, "State")[-1:] == ["attached"])
    assert changed(signals, "State") == ["absent", "attached"]


def test_rules_loaded_while_an_interface_is_absent_hold_when_it_is_back(lab):
    lab.filter(RULES)
    lab.far.ip("link", "del", lab.far.ifname)
    wait_until("absent", lambda: state(lab) == "absent")
    lab.load("drop proto udp dport 9\n")
    lab.make_link()
    wait_until("attached again", lambda: state(lab) == "attached")
    lab.far.send(Frames(lab).udp(9))
    assert [(rule["text"], rule["packets"]) for rule in lab.rules()] == [("drop proto udp dport 9", 1)]


def test_renamed_interface_keeps_its_filter_under_its_new_name(lab, signals):
    lab.filter(RULES)
    old, new = lab.near.ifname, f"{lab.near.ifname}r"
    lab.far.send(*[Frames(lab).udp(7002)] * 3)
    lab.near.ip("link", "set", old, "name", new)
    lab.near.ifname = new
    wait_until("the new name", lambda: [i["ifname"] for i in lab.json("status")["interfaces"]] == [new])
    assert lab.packets() == [3]
    lab.far.send(*[Frames(lab).udp(7002)] * 4)
    assert lab.packets() == [7]
    assert lab.property("Name") == new
    wait_until("signals", lambda: objects(signals, "InterfacesAdded")[-1:] == [lab.object_path(new)])
    assert objects(signals, "InterfacesRemoved") == [lab.object_path(old)]
    lab.stop_daemon(signal.SIGKILL)
    lab.start_daemon()
    assert lab.packets() == [7]


def test_interface_renamed_while_the_daemon_is_down_is_found(lab):
    lab.filter(RULES)
    lab.far.send(*[Frames(lab).udp(7002)] * 3)
    lab.stop_daemon(signal.SIGTERM)
    new = f"{lab.near.ifname}r"
    lab.near.ip("link", "set", lab.near.ifname, "name", new)
    lab.near.ifname = new
    lab.start_daemon()
    assert [(i["ifname"], i["state"]) for i in lab.json("status")["interfaces"]] == [(new, "attached")]
    assert lab.packets() == [3]


def test_interface_moved_to_another_namespace_is_said_and_still_filtered(lab, signals):
    lab.filter(RULES)
    other = f"{lab.near.namespace}m"
    command("ip", "netns", "add", other)
    try:
        lab.near.ip("link", "set", lab.near.ifname, "netns", other)
        wait_until("moved", lambda: state(lab) == "moved")
        assert lab.stats()["state_reason"]
        command("ip", "-n", other, "link", "set", lab.near.ifname, "up")
        lab.far.send(*[Frames(lab).udp(7002)] * 4)
        assert lab.packets() == [4]
        command("ip", "-n", other, "link", "set", lab.near.ifname, "netns", lab.near.namespace)
        lab.near.ip("link", "set", lab.near.ifname, "up")
        wait_until("attached again", lambda: state(lab) == "attached")
        lab.far.send(*[Frames(lab).udp(7002)] * 2)
        assert lab.packets() == [6]
    finally:
        command("ip", "netns", "del", other)
    wait_until("signals", lambda: changed(signals, "State") == ["moved", "attached"])


def test_interface_deleted_in_another_namespace_is_found_out_when_its_counters_are_read(lab):
    lab.filter(RULES)
    other = f"{lab.near.namespace}m"
    command("ip", "netns", "add", other)
    try:
        lab.near.ip("link", "set", lab.near.ifname, "netns", other)
        wait_until("moved", lambda: state(lab) == "moved")
        lab.ctl("packet", "stats", lab.near.ifname)
        assert state(lab) == "moved"
        command("ip", "-n", other, "link", "del", lab.near.ifname)
        lab.ctl("packet", "stats", lab.near.ifname, check=False)
        wait_until("absent", lambda: state(lab) == "absent")
        lab.make_link()
        wait_until("attached again", lambda: state(lab) == "attached")
    finally:
        command("ip", "netns", "del", other)


def test_interface_deleted_while_the_daemon_is_down_is_absent(lab):
    lab.filter(RULES)
    lab.stop_daemon(signal.SIGTERM)
    lab.far.ip("link", "del", lab.far.ifname)
    lab.start_daemon()
    assert state(lab) == "absent"
    lab.make_link()
    wait_until("attached", lambda: state(lab) == "attached")
    lab.ctl("packet", "detach", lab.near.ifname)
    assert lab.json("status")["interfaces"] == []
    lab.stop_daemon(signal.SIGTERM)
    lab.start_daemon()
    assert lab.json("status")["interfaces"] == []


def test_attach_load_and_detach_are_told_by_signals(lab, signals):
    lab.filter(RULES)
    lab.ctl("packet", "detach", lab.near.ifname)
    path = lab.object_path(lab.near.ifname)
    wait_until("signals", lambda: objects(signals, "InterfacesRemoved") == [path])
    assert objects(signals, "InterfacesAdded") == [path]
    assert changed(signals, "RuleCount") == [1]
    assert changed(signals, "RulesSource") == ["test.rules"]
    wait_until("JobRemoved", lambda: len(signals("JobRemoved")) == 3)
    assert {line["payload"]["data"][2] for line in signals("JobRemoved")} == {"done"}
