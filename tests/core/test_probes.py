"""USDT probes: the notes are in the program, and gdb stops at each and reads its arguments."""

import re
import subprocess

from seeing import gdb, program, said

PROBES = {
    "task__start": 4, "task__end": 4, "task__resume": 4, "task__suspend": 4, "task__cancel": 4,
    "op__submit": 4, "op__complete": 3, "turn__enter": 2, "turn__leave": 2, "stall": 2,
}  # fmt: skip


def test_every_documented_probe_is_in_the_notes_with_its_arguments():
    notes = subprocess.run(["readelf", "-n", program()], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = re.findall(r"Provider: zsync\n\s+Name: (\S+)\n.*?\n\s+Arguments: (.*)\n", notes)
    assert {name: len(arguments.split()) for name, arguments in found} == PROBES


def test_gdb_lists_them_and_stops_at_one_with_its_arguments():
    # Bound to the program's own start, so that the root task and its first child pass by.
    told = gdb(
        [program()],
        [
            "info probes stap zsync",
            "break -probe-stap zsync:task__start",
            "run </dev/null >/dev/null",
            "printf \"name=%s length=%d id=%d\\n\", $_probe_arg2, $_probe_arg3, $_probe_arg1",
            "continue",
            "continue",
            "printf \"second=%s %d\\n\", $_probe_arg2, $_probe_arg1",
            "kill",
        ],
    )
    listed = said(told, "info probes stap zsync")
    assert all(name in listed for name in PROBES), listed
    assert "name=root length=4 id=1" in told, told
    assert "second=fibers 3" in told, told


def test_operations_turns_and_ends_pass_by_in_order(tmp_path):
    script = ["set pagination off"]
    for name, words in {
        "turn__enter": r'"enter %d\n", $_probe_arg1',
        "turn__leave": r'"leave %d\n", $_probe_arg1',
        "task__resume": r'"resume %s\n", $_probe_arg2',
        "task__suspend": r'"suspend %s\n", $_probe_arg2',
        "task__cancel": r'"cancel %s\n", $_probe_arg2',
        "task__end": r'"end %s\n", $_probe_arg2',
        "op__submit": r'"submit %lx opcode %d fd %d\n", $_probe_arg1, $_probe_arg2, $_probe_arg3',
        "op__complete": r'"complete %lx result %d\n", $_probe_arg0, $_probe_arg1',
    }.items():
        script += [f"break -probe-stap zsync:{name}", "commands", "silent", f"printf {words}", "continue", "end"]
    script += ["run </dev/null >/dev/null"]
    commands = tmp_path / "commands"
    commands.write_text("\n".join(script) + "\n")
    lines = re.findall(r"^(?:enter|leave|resume|suspend|cancel|end|submit|complete)\b.*", gdb([program()], [f"source {commands}"]), re.M)

    assert lines[:3] == ["enter 1", "resume root", "suspend root"], lines
    submit = next(n for n, line in enumerate(lines) if line.startswith("submit"))
    data, opcode, fd = re.match(r"submit (\w+) opcode (\d+) fd (-?\d+)", lines[submit]).groups()
    assert (opcode, fd) == ("22", "0"), "the one operation of the program is a read of standard input"
    complete = lines.index(f"complete {data} result 0")
    assert submit < complete
    assert lines[complete + 1] == "resume input"
    ends = [line for line in lines[complete:] if line.startswith(("cancel", "end"))]
    assert ends[0] == "end input"
    assert {"cancel chain of three", "cancel fibers", "cancel deep"} < set(ends)
    assert ends[-1] == "end root"
    turns = [int(line.split()[1]) for line in lines if line.startswith(("enter", "leave"))]
    assert turns == sorted(turns) and len(turns) == 2 * len(set(turns)), "each turn is entered and left"
