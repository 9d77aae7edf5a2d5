"""What zsyncd refuses: each with a clear line, exit code 1, and nothing changed."""

import os
import pathlib
import signal

import foreign_xdp
import pytest
from frames import Frames
from lab import Lab, command, wait_until
from traffic import RULES

NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]


def refused(answer) -> str:
    """The one line of a refusal."""
    assert answer.code == 1 and answer.out == "", answer
    assert answer.err.startswith("zsyncctl: ") and answer.err.count("\n") == 1, answer
    return answer.err


def test_interface_that_is_not_there(lab):
    line = refused(lab.ctl("packet", "attach", "nope0", check=False))
    assert "nope0" in line
    assert lab.json("status")["interfaces"] == []


def test_interface_name_that_can_be_none(lab):
    for name in ("", "a/b", "x" * 16, "a b", ".", "..", "\udcff", "é" * 10):
        answer = lab.ctl("packet", "attach", name, check=False)
        assert answer.code == (2 if name == "" else 1), answer
    assert lab.json("status")["interfaces"] == []


def test_interface_with_a_foreign_program_is_named_and_left_alone(lab):
    foreign_xdp.attach(lab.near, f"{lab.bpf_dir.parent}/foreign")
    before = lab.near.link()["xdp"]
    line = refused(lab.ctl("packet", "attach", lab.near.ifname, check=False))
    assert lab.near.ifname in line and "foreign_prog" in line and str(before["prog"]["id"]) in line
    assert lab.near.link()["xdp"] == before
    assert lab.json("status")["interfaces"] == []
    lab.near.ip("link", "set", "dev", lab.near.ifname, "xdp", "off")
    lab.attach()


def test_attached_filter_cannot_be_replaced_by_a_foreign_program(lab):
    lab.filter(RULES)
    with pytest.raises(AssertionError, match="(?i)busy|can't replace"):
        foreign_xdp.attach(lab.near, f"{lab.bpf_dir.parent}/foreign")
    lab.far.send(Frames(lab).udp(7002))
    assert lab.packets() == [1]


BAD_FILES = [
    ("drop from 10.0.0.1/8\n", "test.rules:1:11: error:"),
    ("drop from 10.0.0.0/33\n", "test.rules:1:"),
    ("pass\ndrop form 10.0.0.0/8\n", "test.rules:2:6: error:"),
    ("set a { 10.0.0.1 }\nset a { 10.0.0.2 }\n", "test.rules:2:5: error:"),
    ("drop from @nothere\n", "test.rules:1:"),
    ("drop proto tcp dport 70000\n", "test.rules:1:22: error:"),
    ('set big file "/nonexistent/list"\n', "/nonexistent/list"),
    ("drop vlan 5000\n", "test.rules:1:11: error:"),
    ("drop \0fragment\n", "test.rules:1:6: error:"),
    ("# " + "x" * (10 << 20) + "\n", "test.rules:1:"),
]


@pytest.mark.parametrize("text, where", BAD_FILES, ids=range(len(BAD_FILES)))
def test_bad_rule_file_says_where_and_leaves_the_old_rules(lab, text, where):
    lab.filter(RULES)
    lab.far.send(*[Frames(lab).udp(7002)] * 3)
    before = lab.stats()
    for options in ((), ("--check",)):
        answer = lab.load(text, *options, check=False)
        assert answer.code == 1 and answer.out == ""
        *diagnostics, last = answer.err.splitlines()
        assert diagnostics and where in diagnostics[0], answer.err[:500]
        assert all(": error: " in line for line in diagnostics)
        assert last.startswith("zsyncctl: test.rules: 1 error"), answer.err[:500]
        assert ("stay" in last) == (not options)
        assert len(answer.err) < 2000
    assert lab.packets() == [3]
    after = lab.stats()
    assert (after["loaded_at_us"], after["program_id"]) == (before["loaded_at_us"], before["program_id"])
    lab.far.send(Frames(lab).udp(7002))
    assert lab.packets() == [4]


def test_every_error_of_a_file_is_shown(lab):
    lab.attach()
    answer = lab.load("drop form 1.2.3.4\npass\ndrop proto xyz\nset a { 300.0.0.1 }\n", check=False)
    assert [line.split(": ")[0].split(":")[1] for line in answer.err.splitlines()[:-1]] == ["1", "3", "4"]
    assert answer.err.splitlines()[-1].startswith("zsyncctl: test.rules: 3 errors")


def test_check_changes_nothing(lab):
    lab.filter(RULES)
    before = lab.stats()
    answer = lab.load("drop fragment\ndrop vlan 3\n", "--check")
    assert answer.out == "test.rules: 2 rules, 0 prefixes; right, nothing changed\n"
    assert lab.stats() == before


def test_rules_come_from_standard_input_under_its_name(lab):
    lab.attach()
    lab.ctl("packet", "load", lab.near.ifname, "-", input="drop fragment\n")
    assert [rule["text"] for rule in lab.rules()] == ["drop fragment"]
    assert lab.stats()["rules_source"] == "<stdin>"
    answer = lab.ctl("packet", "load", lab.near.ifname, "-", input="drop fragmnt\n", check=False)
    assert answer.err.startswith("<stdin>:1:6: error: ") and "fragment" in answer.err


def test_verbs_on_an_interface_without_filter_say_what_is_filtered(lab):
    lab.attach()
    (lab.folder / "r").write_text("drop fragment\n")
    for verb in (["detach"], ["rules"], ["stats"], ["watch"], ["load"]):
        operands = [str(lab.folder / "r")] if verb == ["load"] else []
        line = refused(lab.ctl("packet", *verb, "other0", *operands, check=False))
        assert "no filter is attached to 'other0'" in line and lab.near.ifname in line


def test_unprivileged_user_reads_and_changes_nothing(lab):
    lab.filter(RULES)
    ifname = lab.near.ifname
    environment = lab.environment()

    def as_nobody(*words: str):
        return command(*NOBODY, "zsyncctl", *words, env=environment, check=False)

    for words in (("status",), ("features",), ("tasks",), ("jobs",), ("packet", "rules", ifname), ("packet", "stats", ifname)):
        done = as_nobody(*words)
        assert done.returncode == 0 and done.stdout, done.stderr
    rules = lab.folder / "open.rules"
    rules.write_text("pass\n")
    before = lab.stats()
    for words, right in (
        (("packet", "attach", "lo"), "org.zsync1.manage-packet"),
        (("packet", "detach", ifname), "org.zsync1.manage-packet"),
        (("packet", "load", ifname, str(rules)), "org.zsync1.manage-packet"),
        (("reload",), "org.zsync1.reload"),
    ):
        done = as_nobody(*words)
        assert done.returncode == 1, words
        assert done.stderr.startswith("zsyncctl: access denied: ") and right in done.stderr
    raw = command(
        *(*NOBODY, "busctl", f"--address={lab.bus_address}", "call", "org.zsync1", "/org/zsync1/packet"),
        *("org.zsync1.Packet", "Detach", "sa{sv}", ifname, "0"),
        check=False,
    )
    assert raw.returncode != 0 and "ccess denied" in raw.stderr
    assert lab.stats() == before
    assert [i["ifname"] for i in lab.json("status")["interfaces"]] == [ifname]


def test_corrupt_state_is_set_aside_and_said_and_the_filter_goes_on(lab):
    lab.filter(RULES)
    lab.stop_daemon(signal.SIGTERM)
    documents = [path for path in lab.state_dir.rglob("*") if path.is_file() and path.stat().st_size]
    assert documents
    for path in documents:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    lab.start_daemon()
    aside = [path for path in lab.state_dir.rglob("*.corrupt-*")]
    assert len(aside) == len(documents)
    assert all(path.name in lab.log() for path in aside), lab.log()
    lab.far.send(*[Frames(lab).udp(7002)] * 3)
    assert lab.packets() == [3]
    assert lab.stats()["state"] == "attached"


@pytest.fixture
def tiny_state():
    """A lab whose state directory is a file system of a few pages."""
    with Lab(daemon=False) as lab:
        lab.state_dir.mkdir()
        command("mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs", str(lab.state_dir))
        try:
            lab.start_daemon()
            yield lab
            lab.stop_daemon()
        finally:
            command("umount", "--lazy", str(lab.state_dir))


def fill(folder: pathlib.Path) -> pathlib.Path:
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as out:
        try:
            while True:
                out.write(b"x" * 4096)
        except OSError as error:
            assert error.errno == 28
    return ballast


def test_full_state_directory_refuses_a_load_whole(tiny_state):
    lab = tiny_state
    lab.filter(RULES)
    ballast = fill(lab.state_dir)
    line = refused(lab.load("drop fragment\n" + "".join(f"drop vlan {i}\n" for i in range(1, 200)), check=False))
    assert "space" in line.lower() and str(lab.state_dir) in line
    lab.far.send(*[Frames(lab).udp(7002)] * 3)
    assert lab.packets() == [3]
    assert lab.stats()["rules_source"] == "test.rules"
    ballast.unlink()
    lab.stop_daemon(signal.SIGKILL)
    lab.start_daemon()
    assert lab.packets() == [3]


def test_full_state_directory_refuses_an_attach_whole(tiny_state):
    lab = tiny_state
    fill(lab.state_dir)
    line = refused(lab.ctl("packet", "attach", lab.near.ifname, check=False))
    assert "space" in line.lower()
    assert "xdp" not in lab.near.link()
    assert lab.json("status")["interfaces"] == []


def test_no_bpffs_is_said(quiet_lab):
    lab = quiet_lab
    lab.bpf_dir = lab.folder / "nowhere"
    lab.start_daemon()
    line = refused(lab.ctl("packet", "attach", lab.near.ifname, check=False))
    assert f"{lab.folder} is not on a BPF file system" in line and "mount -t bpf" in line
    assert "xdp" not in lab.near.link()
    assert lab.json("status")["interfaces"] == []


def test_read_only_bpffs_refuses_every_change_whole(lab):
    ifname = lab.near.ifname
    rules = "set bad { 192.0.2.0/24 }\ndrop from @bad\n" + RULES + "pass limit 10/s by source proto icmp\n"
    lab.filter(rules)
    lab.far.send(*[Frames(lab).udp(7002)] * 3)
    (lab.folder / "other.rules").write_text("drop fragment\n")
    mount_point = str(lab.bpf_dir.parent)
    command("mount", "-o", "remount,ro", mount_point)
    before = lab.stats()
    for verb in (
        ("attach", "lo"),
        ("load", ifname, str(lab.folder / "other.rules")),
        ("set", ifname, "bad", "add", "198.51.100.0/24"),
        ("rule", "add", ifname, "--for", "1m", "drop proto icmp"),
        ("limits", ifname, "set", "0", "20/s"),
        ("analyse", ifname),
        ("detach", ifname),
    ):
        assert "Read-only file system" in refused(lab.ctl("packet", *verb, check=False)), verb
    assert lab.stats() == before
    lab.stop_daemon(signal.SIGTERM)
    lab.start_daemon()
    # The kernel opens no pinned link for who may not write there.
    (interface,) = lab.json("status")["interfaces"]
    assert interface["state"] == "failed" and "Read-only file system" in interface["state_reason"], interface
    lab.far.send(*[Frames(lab).udp(7002)] * 2)
    command("mount", "-o", "remount,rw", mount_point)
    wait_until("the filter", lambda: lab.json("status")["interfaces"][0]["state"] == "attached")
    assert lab.packets() == [0, 5, 0]
    lab.ctl("packet", "detach", ifname)
    assert "xdp" not in lab.near.link() and not [path for path in lab.bpf_dir.rglob("*") if path.is_file()]
    lab.stop_daemon(signal.SIGTERM)
    lab.start_daemon()
    assert lab.json("status")["interfaces"] == []


def test_no_capabilities_is_said(quiet_lab):
    lab = quiet_lab
    command_line = lab.daemon_command()
    lab.daemon_command = lambda: ["setpriv", "--bounding-set", "-bpf,-net_admin,-perfmon,-sys_admin", *command_line]
    lab.start_daemon()
    feature = next(row for row in lab.json("features") if row["name"] == "packet.xdp")
    assert not feature["available"] and "CAP_BPF" in feature["detail"], feature
    line = refused(lab.ctl("packet", "attach", lab.near.ifname, check=False))
    assert "CAP_BPF" in line and "CAP_NET_ADMIN" in line
    assert "xdp" not in lab.near.link()
    assert lab.json("status")["interfaces"] == []


def test_bad_configuration_is_refused_on_reload_and_the_running_one_stays(lab):
    lab.filter(RULES)
    lab.config.write_text("[log]\nlevle = 3\n")
    answer = lab.ctl("reload", check=False)
    *diagnostics, last = answer.err.splitlines()
    assert answer.code == 1
    assert diagnostics and diagnostics[0].startswith(f"{lab.config}:2:1: error: ") and "levle" in diagnostics[0]
    assert last.startswith("zsyncctl: ") and "stays" in last
    assert lab.stats()["state"] == "attached"
    lab.config.write_text("")
    lab.ctl("reload")


def test_bad_configuration_at_start_ends_the_daemon(quiet_lab):
    quiet_lab.config.write_text("nonsense\n")
    daemon = quiet_lab.start_daemon(ready=False)
    assert daemon.returncode == 1
    assert f"{quiet_lab.config}:1:" in quiet_lab.log()


def test_damaged_pins_do_not_stop_the_daemon(lab):
    lab.attach()
    lab.stop_daemon(signal.SIGTERM)
    pins = [path for path in lab.bpf_dir.rglob("*") if path.is_file()]
    links = [path for path in pins if "link" not in path.name]
    os.unlink(links[0])
    lab.start_daemon()
    assert lab.json("status")["interfaces"][0]["ifname"] == lab.near.ifname
