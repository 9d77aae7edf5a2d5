"""Sets that change while rules are in force, and rules that say what they do with a packet."""

import signal

from traffic import Traffic

RULES = 'set bad { 198.51.100.0/24 }\ndrop from @bad proto udp name "known bad"\ndrop proto udp dport 7002\n'


def change(lab, *words: str) -> dict:
    return lab.json("packet", "set", lab.near.ifname, "bad", *words)


def explain(lab, packet: str) -> dict:
    return lab.json("packet", "explain", lab.near.ifname, packet)


def test_a_set_changes_without_its_rules_and_stays_changed(lab):
    lab.filter(RULES)
    assert explain(lab, "udp 192.0.2.7 > 10.0.0.1:53")["verdict"] == "pass"
    answer = change(lab, "add", "192.0.2.0/24", "2001:db8::/32", "remove", "198.51.100.0/24", "203.0.113.9")
    assert (answer["added"], answer["removed"], answer["prefixes"]) == (2, 1, 2) and answer["visible_us"] > 0
    lab.stop_daemon(signal.SIGKILL)
    lab.start_daemon()
    assert lab.stats()["prefixes"] == 2
    assert explain(lab, "udp 192.0.2.7 > 10.0.0.1:53")["reasons"] == ["from: 192.0.2.7 is in 192.0.2.0/24", "proto: udp"]
    assert explain(lab, "udp 198.51.100.1 > 10.0.0.1:53")["verdict"] == "pass"
    assert change(lab, "add", "192.0.2.0/24")["added"] == 0
    (lab.folder / "list").write_text("# one left\n198.51.100.1\n")
    answer = change(lab, "replace", str(lab.folder / "list"))
    assert (answer["added"], answer["removed"], answer["prefixes"]) == (1, 2, 1)
    assert explain(lab, "udp 198.51.100.1 > 10.0.0.1:53")["verdict"] == "drop"


def test_changing_sets_under_traffic_opens_no_gap_and_keeps_the_counts(lab):
    lab.filter(RULES)
    with Traffic(lab) as traffic:
        for number in range(20):
            change(lab, "add", f"192.0.2.{number}", "remove", f"192.0.2.{number - 1}" if number else "203.0.113.1")
            traffic.run_for(50)
    traffic.check()
    assert lab.packets()[1] == traffic.pairs


def test_explain_says_which_rule_and_why_and_counts_nothing(lab):
    lab.filter(RULES)
    before = lab.packets()
    told = explain(lab, "udp 198.51.100.7:9 > 10.0.0.1:7002")
    assert told == {
        "ifname": lab.near.ifname,
        "hook": "in",
        "packet": "udp 198.51.100.7:9 > 10.0.0.1:7002",
        "verdict": "drop",
        "index": 0,
        "text": "drop from @bad proto udp",
        "name": "known bad",
        "reasons": ["from: 198.51.100.7 is in 198.51.100.0/24", "proto: udp"],
    }
    told = explain(lab, "tcp 198.51.100.7 > 10.0.0.1:7002")
    assert (told["verdict"], told["index"], told["text"], told["reasons"]) == ("pass", None, "default pass", [])
    out = lab.ctl("packet", "explain", lab.near.ifname, "udp", "192.0.2.1", ">", "10.0.0.1:7002").out
    assert out == f"{lab.near.ifname}: drop by rule 1: drop proto udp dport 7002\n  proto: udp\n  dport: 7002\n"
    assert lab.packets() == before


def test_refusals_say_what_to_do(lab):
    lab.filter(RULES)
    ifname = lab.near.ifname
    for words, error in (
        (("set", ifname, "bda", "add", "10.0.0.1"), "did you mean bad"),
        (("set", ifname, "bad", "add", "10.1.0.0/8"), "use 10.0.0.0/8"),
        (("set", "nowhere0", "bad", "add", "10.0.0.1"), "no filter is attached to 'nowhere0'"),
        (("explain", ifname, "udp 1.2.3.4 > 1.2.3.5"), "has no port"),
    ):
        answer = lab.ctl("packet", *words, check=False)
        assert answer.code == 1 and error in answer.err, answer
    for words, error in ((("bad", "plus", "10.0.0.1"), "neither add"), (("bad", "replace", "a", "b"), "one file")):
        answer = lab.ctl("packet", "set", ifname, *words, check=False)
        assert answer.code == 2 and error in answer.err, answer
    assert lab.stats()["prefixes"] == 1, "nothing of it was applied"
