"""Child processes that can't outlive their parent, not even its SIGKILL."""

import ctypes
import pathlib
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 5

_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(command: list[str], log: pathlib.Path | None = None, **options) -> subprocess.Popen:
    """Starts `command`, which must not be setuid nor have file capabilities: the kernel drops the death signal there."""
    if log is not None:
        options |= {"stdout": log.open("ab"), "stderr": subprocess.STDOUT}
    # In a process group of its own a terminal's Ctrl-C does not reach it: who stops when is the parent's decision.
    options |= {"stdin": subprocess.DEVNULL, "process_group": 0, "preexec_fn": _die_with_parent}
    return subprocess.Popen(command, **options)


def start_contained(command: list[str], log: pathlib.Path) -> subprocess.Popen:
    """Starts `command` as the init of a PID namespace, so that whatever it starts ends with it, ping's capabilities or not."""
    return start(["unshare", "--pid", "--fork", "--kill-child", *command], log)


def stop(child: subprocess.Popen | None, number: int = signal.SIGTERM) -> int | None:
    """Ends a child, by force when it doesn't go in STOP_SECONDS; its exit code."""
    if child is None:
        return None
    if child.poll() is None:
        child.send_signal(number)
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    return child.returncode


def tail(log: pathlib.Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def wait_until(what: str, true, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
