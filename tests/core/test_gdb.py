"""zsync-gdb.py on a live process, on a core file of it, and where the program was stripped."""

import re
import subprocess

import pytest

from seeing import gdb, line_of, program, running, said

QUESTIONS = ["zsync tasks", "zsync chain 2", "zsync fiber 4", "backtrace", "zsync fiber", "backtrace 3"]


@pytest.fixture(scope="module")
def stripped(tmp_path_factory):
    """As a package has it: of its symbols only those that the linker was told to export are left."""
    path = tmp_path_factory.mktemp("stripped") / "seeing_target"
    subprocess.run(["strip", "--strip-unneeded", "-o", path, program()], check=True)
    return str(path)


def core_of(child, folder) -> str:
    """gcore(1) of the running program."""
    subprocess.run(["gcore", "-o", folder / "core", str(child.pid)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return str(folder / f"core.{child.pid}")


@pytest.fixture(scope="module", params=["live", "core"])
def answers(request, tmp_path_factory):
    with running() as child:
        if request.param == "live":
            yield gdb(["-p", str(child.pid)], QUESTIONS)
            return
        core = core_of(child, tmp_path_factory.mktemp("core"))
    # The process has ended: nothing but the file is left.
    yield gdb([program(), core], QUESTIONS)


def test_tasks_shows_the_tree_with_states_and_places(answers):
    lines = said(answers, "zsync tasks").splitlines()
    assert re.match(r"executor 1: zsync::Worker, 5 tasks$", lines[0]), lines
    assert lines[1].split() == ["ID", "STATE", "KIND", "RESUMES", "TASK", "AT"]
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines[2:7]]
    names = [(row[0], row[1], row[2], row[4], row[5]) for row in rows]
    assert names == [
        ("1", "waiting: future", "coroutine", "root", line_of("root")),
        ("2", "waiting: sleep", "coroutine", "chain of three", line_of("innermost")),
        ("3", "waiting: future", "coroutine", "fibers", line_of("future")),
        ("4", "waiting: sleep", "fiber", "deep", line_of("fiber")),
        ("5", "waiting: read on fd 0", "coroutine", "input", line_of("read")),
    ]
    task_column = lines[1].index("TASK")
    assert [line[task_column:].split("  ")[0] == "" for line in lines[2:7]] == [False, True, True, True, True], "children are indented"


def test_chain_names_every_await_and_its_function(answers):
    lines = said(answers, "zsync chain 2").splitlines()
    assert lines[0] == 'task 1:2 "chain of three", coroutine, waiting: sleep'
    for number, mark in enumerate(("innermost", "middle", "outer")):
        place = re.escape(line_of(mark))
        assert re.match(rf"#{number}\s+.*{place} in .*\b{mark}\(zsync::Io\)  \(frame 0x[0-9a-f]+\)$", lines[number + 1]), lines
    assert len([line for line in lines if line.startswith("#")]) == 3


def test_fiber_shows_the_stack_of_a_fiber_that_waits(answers):
    assert 'task 1:4 "deep": its stack begins at frame 1' in said(answers, "zsync fiber 4")
    stack = said(answers, "backtrace")
    assert len(re.findall(r"^#\d+ .*\bwait_deep \(", stack, re.M)) == 4, stack
    assert "left=3" in stack, "with debug information arguments are shown too"
    assert "zsync::Fiber::run" in stack
    assert "corrupt" not in stack and "main ()" not in stack, stack
    assert "the thread's own stack" in said(answers, "zsync fiber")
    assert "wait_deep" not in said(answers, "backtrace 3")


def test_a_stripped_program_tells_the_same_places(stripped, tmp_path):
    with running(stripped) as child:
        core = core_of(child, tmp_path)
    told = gdb([stripped, core], ["zsync tasks", "zsync chain 2"])
    for mark in ("root", "innermost", "future", "fiber", "read"):
        assert line_of(mark) in said(told, "zsync tasks"), told
    assert line_of("outer") in said(told, "zsync chain 2"), told


@pytest.mark.parametrize(
    "command, answer",
    [
        ("zsync chain", "'' is no task; say TASK, or EXECUTOR:TASK"),
        ("zsync chain x", "'x' is no task"),
        ("zsync chain 77", "no live task 77"),
        ("zsync fiber 2", 'task 1:2 "chain of three" has no stack: `zsync chain 2` shows its awaits'),
    ],
)
def test_wrong_words_are_answered(command, answer):
    with running() as child:
        assert answer in gdb(["-p", str(child.pid)], [command])


def test_a_program_without_zsync_is_told_apart():
    assert "does not run on zsync" in gdb(["/bin/true"], ["zsync tasks"])
