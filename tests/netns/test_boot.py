"""A boot, where nothing is pinned: what cannot be as the rules say keeps no other rule from its place."""

import signal
import socket

import pytest
from frames import Frames
from lab import command, wait_until

DENIED, REDIRECTED, CHALLENGED = 7001, 7005, 7080
DENY = f"drop proto udp dport {DENIED}\n"
CHALLENGE = f"pass challenge proto tcp dport {CHALLENGED}\n"
COOKIES = "net.ipv4.tcp_syncookies"


def unmount(lab) -> None:
    """Takes away all that is pinned, and waits for the end of what hung on it."""
    command("umount", str(lab.bpf_dir.parent))
    wait_until("the end of the filter", lambda: not lab.near.link().get("xdp"))


def mount(lab) -> None:
    command("mount", "-t", "bpf", "bpf", str(lab.bpf_dir.parent))


def reboot(lab) -> None:
    """As a reboot leaves it: saved rules, no pins."""
    lab.stop_daemon(signal.SIGTERM)
    unmount(lab)
    mount(lab)
    lab.start_daemon()


def add_veth(lab, name: str) -> None:
    """Whose other end takes frames of a driver's XDP program with GRO."""
    lab.near.ip("link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    lab.near.run("ethtool", "-K", f"{name}p", "gro", "on")
    for end in (name, f"{name}p"):
        lab.near.ip("link", "set", end, "up")


def set_cookies(lab, value: int) -> None:
    lab.near.run("sysctl", "-qw", f"{COOKIES}={value}")


def reason(lab) -> str:
    stats = lab.stats()
    assert stats["state"] == "attached", stats
    return stats["state_reason"]


def denies(lab, times: int) -> bool:
    """Whether what the first rule denies is dropped, so often by now."""
    lab.far.send(Frames(lab).udp(DENIED))
    return wait_until("the frame", lambda: lab.packets()[0] >= times) == times


def test_a_host_that_takes_no_cookies_is_filtered_and_challenges_once_it_does(lab):
    lab.far.run("ethtool", "-K", lab.far.ifname, "gro", "on")
    lab.filter(DENY + CHALLENGE)
    set_cookies(lab, 0)
    reboot(lab)
    assert COOKIES in reason(lab) and "passes without" in reason(lab)
    assert denies(lab, 1)
    with lab.near.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind((lab.near.v4, CHALLENGED))
        server.listen()
        with lab.far.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            client.connect((lab.near.v4, CHALLENGED))
        sent = lambda: lab.stats()["hooks"][0]["challenges_sent"]  # noqa: E731
        assert sent() == 0
        # A person who loads rules is told, and what changes of itself goes on.
        refused = lab.load(DENY + CHALLENGE, check=False)
        assert refused.code == 1 and f"{COOKIES} is 0" in refused.err, refused
        lab.ctl("packet", "rule", "add", lab.near.ifname, "--for", "1s", "drop proto icmp")
        refused = lab.ctl("packet", "rule", "add", lab.near.ifname, "--for", "1s", CHALLENGE.strip(), check=False)
        assert refused.code == 1 and f"{COOKIES} is 0" in refused.err, refused
        wait_until("the end of a rule's time", lambda: len(lab.rules()) == 2)
        set_cookies(lab, 1)
        wait_until("all of the rules", lambda: reason(lab) == "")
        with lab.far.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            client.connect((lab.near.v4, CHALLENGED))
        assert sent() == 1
    assert "passes without" in lab.log()


def test_an_interface_that_takes_no_frames_is_redirected_to_once_it_does(lab):
    other = f"{lab.near.ifname}o"
    add_veth(lab, other)
    lab.filter(DENY + f"pass redirect {other} proto udp dport {REDIRECTED}\n", "--mode", "native")
    lab.near.run("ethtool", "-K", f"{other}p", "gro", "off")
    reboot(lab)
    assert f"{other} takes no frames" in reason(lab) and f"redirect to '{other}' drop" in reason(lab)
    assert denies(lab, 1)
    lab.far.send(Frames(lab).udp(REDIRECTED))
    wait_until("a drop", lambda: lab.packets() == [1, 1] and lab.stats()["dropped"] == 2)
    refused = lab.ctl("packet", "load", lab.near.ifname, "test.rules", cwd=lab.folder, check=False)
    assert refused.code == 1 and f"{other} takes no frames" in refused.err, refused
    lab.near.run("ethtool", "-K", f"{other}p", "gro", "on")
    wait_until("all of the rules", lambda: reason(lab) == "")
    lab.far.send(Frames(lab).udp(REDIRECTED))
    wait_until("a frame", lambda: lab.stats()["hooks"][0]["redirected"] == 1)
    assert lab.stats()["dropped"] == 2


def test_a_target_that_became_another_kind_of_device_keeps_no_other_rule_from_its_place(lab):
    other = f"{lab.near.ifname}o"
    add_veth(lab, other)
    lab.filter(DENY + f"pass redirect {other} proto udp dport {REDIRECTED}\n")
    lab.near.ip("link", "del", other)
    lab.near.ip("tuntap", "add", other, "mode", "tun")
    reboot(lab)
    assert f"packets of {other} have no Ethernet header" in reason(lab)
    assert denies(lab, 1)
    lab.near.ip("link", "del", other)
    add_veth(lab, other)
    wait_until("all of the rules", lambda: reason(lab) == "")


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_an_interface_is_filtered_once_the_bpf_file_system_is_there(lab, mode):
    lab.filter(DENY, "--mode", mode)
    lab.stop_daemon(signal.SIGTERM)
    unmount(lab)
    lab.start_daemon()
    stats = lab.stats()
    assert stats["state"] == "failed" and "mount -t bpf" in stats["state_reason"], stats
    assert lab.ctl("status").out.count("mount -t bpf") >= 1
    mount(lab)
    wait_until("the filter", lambda: lab.property("State") == "attached")
    assert denies(lab, 1) and reason(lab) == ""
    said = [line for line in lab.log().splitlines() if f"{lab.near.ifname} is failed" in line]
    assert len(said) == 1, said
