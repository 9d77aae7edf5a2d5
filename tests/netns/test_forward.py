"""Forwarding between two interfaces by AF_XDP: real traffic, the filter before it, its end, and no frame lost on the way."""

import contextlib
import json
import signal

import pytest
from lab import Side, command, wait_until

THIRD_V4, THIRD_V6 = "10.78.0.3", "2001:db8:78::3"


@pytest.fixture
def bridge(lab):
    """The lab with a third namespace on a second link of the near one; nothing but forwarding joins it with the far one."""
    mark = lab.near.namespace.removeprefix("zsn")
    third = Side(f"zst{mark}", f"zt{mark}", THIRD_V4, THIRD_V6)
    second = f"zp{mark}"
    command("ip", "netns", "add", third.namespace)
    with contextlib.ExitStack() as undo:
        undo.callback(command, "ip", "netns", "del", third.namespace, check=False)
        third.ip("link", "set", "lo", "up")
        lab.third, lab.second = third, second
        link(lab)
        yield lab


def link(lab) -> None:
    """The second link of the near namespace, with the addresses of the third one."""
    third, second = lab.third, lab.second
    third.ip("link", "add", third.ifname, "type", "veth", "peer", "name", second, "netns", lab.near.namespace)
    third.run("ethtool", "-K", third.ifname, "tx", "off", "tso", "off", "gso", "off", "gro", "off", check=False)
    third.ip("addr", "add", f"{third.v4}/24", "dev", third.ifname)
    third.ip("addr", "add", f"{third.v6}/64", "dev", third.ifname, "nodad")
    third.ip("link", "set", third.ifname, "up")
    lab.near.ip("link", "set", second, "up")


def forward(lab, *words: str, check: bool = True):
    return lab.ctl("packet", "forward", lab.near.ifname, lab.second, *words, check=check)


def forwards(lab) -> list[dict]:
    return lab.json("packet", "forward")


def modes(lab) -> list[str]:
    return [row["first_mode"] for row in forwards(lab)]


def ping(lab, address: str, count: int = 20, check: bool = True) -> str:
    return lab.far.run("ping", "-q", "-c", str(count), "-i", "0.02", "-W", "1", address, check=check).stdout


def settled(lab) -> dict:
    """The counts once nothing is on its way any more."""

    def quiet():
        counts = forwards(lab)[0]["counts"]
        return counts if counts["frames_sending"] == counts["frames_held"] == 0 else None

    return wait_until("all frames back", quiet)


def test_joins_two_links_and_loses_no_frame(bridge):
    forward(bridge)
    for address in (THIRD_V4, THIRD_V6):
        assert " 0% packet loss" in ping(bridge, address, 100)
    row = forwards(bridge)[0]
    assert (row["first"], row["second"]) == (bridge.near.ifname, bridge.second)
    assert (row["first_mode"], row["second_mode"]) == ("copy", "copy")
    counts = settled(bridge)
    assert counts["first_forwarded"] >= 200 and counts["second_forwarded"] >= 200
    assert counts["first_lost"] == counts["second_lost"] == 0
    assert counts["frames_add_up"] == 1
    assert counts["frames_free"] + counts["frames_receiving"] == counts["frames"]
    assert counts["stations"] == 2
    assert "copy" in bridge.ctl("packet", "forward").out


def iperf(bridge, *options: str) -> dict:
    """What a client in the far namespace reports of a test with a server of its own in the third: a server that has just
    ended one test may refuse the next."""
    server = bridge.third.start("iperf3", "-s", "-1", "-p", "5201", stdout=-3, stderr=-3)
    try:
        wait_until("iperf3", lambda: ":5201" in bridge.third.run("ss", "-Hltn").stdout, seconds_max=10)
        return json.loads(bridge.far.run("iperf3", "-J", "-c", THIRD_V4, *options).stdout)["end"]
    finally:
        server.kill()
        server.wait()


def test_carries_tcp_and_a_flood_of_datagrams(bridge):
    forward(bridge)
    assert iperf(bridge, "-n", "20M")["sum_received"]["bytes"] >= 20_000_000
    assert iperf(bridge, "-u", "-b", "40M", "-l", "200", "-t", "2")["sum"]["packets"] > 10_000
    counts = settled(bridge)
    assert counts["frames_add_up"] == 1
    assert counts["first_forwarded"] > 30_000


def test_filters_first_and_goes_on_over_loads(bridge):
    rules = bridge.folder / "forward.rules"
    rules.write_text("drop proto icmp\n")
    forward(bridge, str(rules))
    assert "100% packet loss" in ping(bridge, THIRD_V4, 3, check=False)
    assert " 0% packet loss" in ping(bridge, THIRD_V6)
    assert bridge.packets()[0] >= 3
    for _ in range(5):
        bridge.load("pass proto icmp")
        bridge.load("drop proto tcp")
    (bridge.folder / "test.rules").write_text("drop proto tcp\n")
    bridge.ctl("packet", "load", bridge.second, str(bridge.folder / "test.rules"))
    assert " 0% packet loss" in ping(bridge, THIRD_V4)


def test_limits_first(bridge):
    rules = bridge.folder / "forward.rules"
    rules.write_text("pass limit 1/d burst 5 by source proto icmp\n")
    forward(bridge, str(rules))
    assert " 5 received" in ping(bridge, THIRD_V4, 20, check=False)
    assert " 0% packet loss" in ping(bridge, THIRD_V6)
    (rule,) = bridge.rules()
    assert (rule["packets"], rule["limited"]) == (20, 15)
    (limit,) = bridge.json("packet", "limits", bridge.second)
    assert (limit["passed"], limit["limited"]) == (5, 0)
    # What the limits let pass was forwarded, and nothing else: the other's IPv6 has no limit.
    assert settled(bridge)["frames_add_up"] == 1
    bridge.load("pass limit 1000/s burst 500 by source proto icmp\n")
    assert " 0% packet loss" in ping(bridge, bridge.third.v6)


def test_ends_and_gives_packets_back_to_the_host(bridge):
    forward(bridge)
    assert " 0% packet loss" in ping(bridge, THIRD_V4)
    assert "100% packet loss" in ping(bridge, bridge.near.v4, 2, check=False)  # the host hears nothing
    forward(bridge, "--off")
    assert forwards(bridge) == []
    assert "100% packet loss" in ping(bridge, THIRD_V4, 2, check=False)
    assert " 0% packet loss" in ping(bridge, bridge.near.v4)
    for _ in range(3):  # and at once again: the queues are busy for a moment
        forward(bridge)
        assert " 0% packet loss" in ping(bridge, THIRD_V4, 3)
        forward(bridge, "--off")


def test_rewrites_addresses(bridge):
    second_mac = bridge.near.link(bridge.second)["address"]
    forward(bridge, "--rewrite")
    watch = bridge.third.start(
        "tcpdump", "-l", "-n", "-e", "-c", "3", "-i", bridge.third.ifname, "icmp[0]=8", stdout=-1, stderr=-1, text=True
    )
    try:
        assert "listening" in watch.stderr.readline() + watch.stderr.readline()
        assert " 0% packet loss" in ping(bridge, THIRD_V4)
        assert f" {second_mac} > " in watch.stdout.readline()
    finally:
        watch.kill()
        watch.communicate()


def test_goes_on_when_a_link_was_down(bridge):
    forward(bridge)
    assert " 0% packet loss" in ping(bridge, THIRD_V4)
    bridge.near.ip("link", "set", bridge.second, "down")
    ping(bridge, THIRD_V4, 10, check=False)
    bridge.near.ip("link", "set", bridge.second, "up")
    wait_until("the link", lambda: " 0% packet loss" in ping(bridge, THIRD_V4, 3, check=False))
    assert settled(bridge)["frames_add_up"] == 1


def test_ends_with_the_other_namespace(bridge):
    forward(bridge)
    assert " 0% packet loss" in ping(bridge, THIRD_V4)
    command("ip", "netns", "del", bridge.third.namespace)
    wait_until("the end", lambda: modes(bridge) == ["waiting"])
    assert "no longer forward" in bridge.log()
    wait_until("the host", lambda: " 0% packet loss" in ping(bridge, bridge.near.v4, 2, check=False))


def test_ends_with_the_daemon_and_leaves_the_filter(bridge):
    forward(bridge)
    assert bridge.stop_daemon(signal.SIGTERM) == 0
    assert "leaves" not in bridge.log()  # no descriptor, task or frame
    assert " 0% packet loss" in ping(bridge, bridge.near.v4)
    bridge.start_daemon()
    assert modes(bridge) == ["copy"]
    assert " 0% packet loss" in ping(bridge, THIRD_V4)
    bridge.stop_daemon(signal.SIGKILL)
    # The kernel closes the sockets of a killed process a moment after its end.
    wait_until("the host", lambda: " 0% packet loss" in ping(bridge, bridge.near.v4, 5, check=False))
    bridge.start_daemon()
    assert modes(bridge) == ["copy"]
    assert " 0% packet loss" in ping(bridge, THIRD_V4)
    forward(bridge, "--off")
    bridge.stop_daemon()
    bridge.start_daemon()
    assert forwards(bridge) == []


def test_begins_again_with_the_interface(bridge):
    forward(bridge, "--rewrite")
    bridge.near.ip("link", "del", bridge.second)
    wait_until("the end", lambda: modes(bridge) == ["waiting"])
    assert "waiting" in bridge.ctl("packet", "forward").out
    words = f"{bridge.near.ifname} and {bridge.second} wait to forward: {bridge.second} is absent"
    wait_until("the reason", lambda: bridge.log().count(words) == 1)
    bridge.stop_daemon()
    bridge.start_daemon()
    assert modes(bridge) == ["waiting"]
    assert bridge.log().count(words) == 2  # once by each daemon
    link(bridge)
    wait_until("forwarding", lambda: modes(bridge) == ["copy"])
    assert forwards(bridge)[0]["rewrite"]
    wait_until("the link", lambda: " 0% packet loss" in ping(bridge, THIRD_V4, 3, check=False))


def test_goes_on_under_the_new_name_of_an_interface(bridge):
    forward(bridge, "--rewrite")
    old, bridge.second = bridge.second, bridge.second.replace("zp", "zr", 1)
    bridge.near.ip("link", "set", old, "name", bridge.second)
    wait_until("the new name", lambda: [row["second"] for row in forwards(bridge)] == [bridge.second])
    assert modes(bridge) == ["copy"]
    assert " 0% packet loss" in ping(bridge, THIRD_V4)
    bridge.stop_daemon()
    newer = bridge.second.replace("zr", "zq", 1)
    bridge.near.ip("link", "set", bridge.second, "name", newer)
    bridge.second = newer
    bridge.start_daemon()
    assert [(row["second"], row["first_mode"], row["rewrite"]) for row in forwards(bridge)] == [(newer, "copy", True)]
    assert " 0% packet loss" in ping(bridge, THIRD_V4)
    forward(bridge, "--off")
    wait_until("the host", lambda: " 0% packet loss" in ping(bridge, bridge.near.v4, 3, check=False))
    assert forwards(bridge) == []


def test_a_pair_that_waits_can_be_ended(bridge):
    forward(bridge)
    bridge.near.ip("link", "del", bridge.second)
    wait_until("the end", lambda: modes(bridge) == ["waiting"])
    forward(bridge, "--off")
    assert forwards(bridge) == []
    link(bridge)
    path = bridge.object_path(bridge.second)
    wait_until("the filter", lambda: bridge.property("State", path) == "attached")
    assert forwards(bridge) == []


def test_a_damaged_list_is_set_aside_and_told(bridge):
    forward(bridge)
    bridge.stop_daemon()
    (document,) = bridge.state_dir.rglob("packet-forwards")
    document.write_bytes(b"nonsense")
    bridge.start_daemon()
    assert forwards(bridge) == []
    assert "packet-forwards" in bridge.log()
    forward(bridge)
    assert modes(bridge) == ["copy"]


def test_refuses_in_words(bridge):
    answer = bridge.ctl("packet", "forward", bridge.near.ifname, bridge.near.ifname, check=False)
    assert answer.code != 0 and "two different ports" in answer.err
    (bridge.folder / "strict.rules").write_text("default drop\n")
    for second, rules, said in (
        ("nosuch0", str(bridge.folder / "strict.rules"), "nosuch0"),
        (bridge.second, str(bridge.folder / "nosuch.rules"), "nosuch.rules"),
        (bridge.near.ifname + "x", "-", bridge.near.ifname + "x"),
    ):
        answer = bridge.ctl("packet", "forward", bridge.near.ifname, second, rules, check=False, input="default drop\n")
        assert answer.code == 1 and said in answer.err, answer
        assert bridge.json("status")["interfaces"] == [] and "xdp" not in bridge.near.link()
    forward(bridge)
    answer = forward(bridge, check=False)
    assert answer.code != 0 and "forwards already" in answer.err
    answer = bridge.ctl("packet", "forward", bridge.near.ifname, "lo", str(bridge.folder / "strict.rules"), check=False)
    assert answer.code == 1 and f"{bridge.near.ifname} has the rules of {bridge.folder}/strict.rules by now" in answer.err
    assert {row["ifname"] for row in bridge.json("status")["interfaces"]} == {bridge.near.ifname, bridge.second}
    forward(bridge, "--off")
    answer = forward(bridge, "--off", check=False)
    assert answer.code != 0 and "don't forward" in answer.err
    assert bridge.ctl("packet", "forward", bridge.near.ifname, check=False).code == 2
