"""Rules that shape: what zsyncctl and the bus show of classes, other rates, and a kernel that cannot."""

import signal
import socket

SHAPE = """shape 50mbit horizon 20ms {
    class gold guarantee 30mbit
    class bulk max 10mbit
}
pass out class gold proto udp dport 7003
"""
PLAIN = "drop out proto udp dport 9\n"


def has_fq(lab) -> bool:
    done = lab.far.run("tc", "qdisc", "replace", "dev", lab.far.ifname, "root", "fq", check=False)
    lab.far.run("tc", "qdisc", "del", "dev", lab.far.ifname, "root", check=False)
    return done.returncode == 0


def classes(lab) -> dict:
    return lab.json("packet", "classes", lab.near.ifname)


def send(lab, packets: int) -> None:
    with lab.near.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(packets):
            sender.sendto(bytes(58), (lab.far.v4, 7003))


def root_qdisc(lab) -> str:
    return lab.near.run("tc", "qdisc", "show", "dev", lab.near.ifname, "root").stdout


def test_classes_are_shown_changed_and_kept_where_the_kernel_has_fq(lab):
    before = root_qdisc(lab)
    lab.filter(PLAIN)
    assert classes(lab) == {"rate": 0, "horizon_us": 0, "classes": []}
    assert lab.ctl("packet", "classes", lab.near.ifname).out == "no rules shape\n"
    loaded = lab.load(SHAPE, check=False)
    if not has_fq(lab):
        # vm.shape goes on where there is one.
        assert loaded.code != 0 and "this kernel has no qdisc fq" in loaded.err, loaded
        assert [rule["text"] for rule in lab.rules()] == [PLAIN.strip()]
        assert root_qdisc(lab) == before
        return
    assert loaded.code == 0, loaded
    assert root_qdisc(lab).startswith("qdisc fq 7a73: ")
    send(lab, 20)
    shape = classes(lab)
    assert (shape["rate"], shape["horizon_us"]) == (50_000_000, 20_000)
    gold = shape["classes"][1]
    assert {name: gold[name] for name in ("name", "guarantee", "max", "packets", "bytes", "dropped")} == {
        "name": "gold", "guarantee": 30_000_000, "max": 50_000_000, "packets": 20, "bytes": 2000, "dropped": 0,
    }
    changed = lab.json("packet", "classes", lab.near.ifname, "set", "gold", "guarantee", "5mbit")
    assert changed == {"ifname": lab.near.ifname, "class": "class gold guarantee 5mbit max 50mbit"}
    changed = lab.json("packet", "classes", lab.near.ifname, "shape", "40mbit", "horizon", "30ms")
    assert changed == {"ifname": lab.near.ifname, "shape": "shape 40mbit horizon 30ms"}
    refused = lab.ctl("packet", "classes", lab.near.ifname, "shape", "4mbit", check=False)
    assert refused.code == 1 and "class bulk has a maximum of 10mbit, over the shape's 4mbit" in refused.err, refused
    lab.stop_daemon(signal.SIGKILL)
    send(lab, 10)
    lab.start_daemon()
    shape = classes(lab)
    assert (shape["rate"], shape["horizon_us"]) == (40_000_000, 30_000)
    gold = shape["classes"][1]
    assert (gold["guarantee"], gold["max"], gold["packets"]) == (5_000_000, 40_000_000, 30)
    lab.load(PLAIN)
    assert root_qdisc(lab) == before
    lab.load(SHAPE)
    lab.ctl("packet", "detach", lab.near.ifname)
    assert root_qdisc(lab) == before


def test_refusals_say_what_to_do(lab):
    lab.filter(PLAIN)
    ctl = lambda *words: lab.ctl("packet", "classes", lab.near.ifname, *words, check=False)  # noqa: E731
    answer = ctl("set", "gold", "max", "1mbit")
    assert answer.code != 0 and "no shape is loaded" in answer.err, answer
    answer = ctl("shape", "1mbit")
    assert answer.code == 1 and "load rules with a line shape RATE" in answer.err, answer
    for words in (["shape"], ["shape", "1mbit", "horizon", "5ms", "more"]):
        answer = ctl(*words)
        assert answer.code == 2 and "packet classes IFACE shape 80mbit" in answer.err, answer
    answer = ctl("set", "gold")
    assert answer.code == 2 and "packet classes IFACE set CLASS" in answer.err, answer
    answer = lab.load("shape 1mbit {\n    class a guarantee 2mbit\n}\n", check=False)
    assert "test.rules:2:11: error: class a has a guarantee of 2mbit, over the shape's 1mbit; hint: write guarantee 1mbit" in (
        answer.out + answer.err
    ), answer
