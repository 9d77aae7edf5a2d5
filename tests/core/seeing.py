"""What the tests of gdb and of probes share: a program to look into, and gdb runs on it."""

import contextlib
import pathlib
import re
import shutil
import subprocess
import threading

TOP = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = TOP / "userspace/zsync/core/zsync-gdb.py"
SOURCE = pathlib.Path(__file__).with_name("seeing_target.cpp")
SECONDS_MAX = 60


def line_of(mark: str) -> str:
    """`file:line` of a line of the program that is marked `LINE: mark`."""
    for number, line in enumerate(SOURCE.read_text().splitlines(), 1):
        if line.endswith(f"// LINE: {mark}"):
            return f"tests/core/seeing_target.cpp:{number}"
    raise AssertionError(f"no line {mark}")


def program() -> str:
    return shutil.which("seeing_target")


@contextlib.contextmanager
def running(path: str | None = None):
    """The program, with all its tasks in their places."""
    child = subprocess.Popen([path or program()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    watchdog = threading.Timer(SECONDS_MAX, child.kill)
    watchdog.start()
    try:
        assert child.stdout.readline() == "ready\n"
        yield child
        child.stdin.close()
        assert child.wait(SECONDS_MAX) == 0
    finally:
        watchdog.cancel()
        child.kill()
        child.wait()


def gdb(words: list[str], commands: list[str], script: pathlib.Path | None = SCRIPT) -> str:
    """What gdb prints for these commands, each after a line `-- COMMAND`."""
    asked = [*(["-ex", f"source {script}"] if script else [])]
    for command in commands:
        asked += ["-ex", f"echo \\n-- {command}\\n", "-ex", command]
    done = subprocess.run(
        ["gdb", "-q", "-nx", "-batch", "-iex", "set debuginfod enabled off", *asked, *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS_MAX,
    )  # fmt: skip
    return done.stdout


def said(output: str, command: str) -> str:
    """What gdb printed for one of the commands."""
    found = re.search(rf"^-- {re.escape(command)}\n(.*?)(?=^-- |\Z)", output, re.M | re.S)
    assert found, output
    return found[1]
