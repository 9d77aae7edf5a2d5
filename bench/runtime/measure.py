"""What the runtime's benchmarks share: programs on their own cores, counts of what they do, and rows."""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = TOP / "build/bench/bin/runtime"
READY_SECONDS_MAX = 60
SERVER_CORE, LOAD_CORE = 0, 1


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def row(what: str, ours: float, peer: float | None, unit: str, goal: str | None, reached: bool | None) -> None:
    """One row of `./dev bench`; goal and reached are None where the comparison is there to be read, not to be won."""
    ratio = ours / peer if peer else None
    fields = {"what": what, "ours": ours, "peer": peer, "unit": unit, "ratio": ratio, "goal": goal, "reached": reached}
    print(json.dumps(fields), flush=True)


def row_of_ratio(what: str, ours: float, peer: float, unit: str, most: float | None, ratio: float | None = None) -> None:
    """`ratio` where it is not the quotient of the two medians, but the median of paired quotients."""
    ratio = ours / peer if ratio is None else ratio
    fields = {"what": what, "ours": ours, "peer": peer, "unit": unit, "ratio": ratio}
    fields |= {"goal": f"<= {most:.3g}x" if most else None, "reached": ratio <= most if most else None}
    print(json.dumps(fields), flush=True)


def row_of_limit(what: str, ours: float, peer: float | None, unit: str, most: float) -> None:
    row(what, ours, peer, unit, f"ours <= {most:g}", ours <= most)


def exists(program: str) -> bool:
    return (PROGRAMS / program).is_file()


def only_of(programs: dict[str, str]) -> dict[str, str]:
    """Of a table name -> program those that are built: a flavour of ours joins once its program is there."""
    return {name: program for name, program in programs.items() if exists(program)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def in_child(core: int | None):
    """Runs between fork and exec: the child stays on its core, and goes when this process goes."""
    library = ctypes.CDLL(None)

    def prepare() -> None:
        library.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if core is not None:
            os.sched_setaffinity(0, {core})

    return prepare


def start(words: list[str], core: int | None = None, **options) -> subprocess.Popen:
    return subprocess.Popen(words, preexec_fn=in_child(core), **options)


def output(words: list[str], core: int | None = None, **options) -> str:
    """What a program printed; its failure is ours."""
    return subprocess.run(words, preexec_fn=in_child(core), stdout=subprocess.PIPE, text=True, check=True, **options).stdout


def program(name: str) -> str:
    return str(PROGRAMS / name)


def wait_ready(child: subprocess.Popen, name: str) -> None:
    signal.alarm(READY_SECONDS_MAX)  # ends this benchmark: a program that does not come up is a failure
    line = child.stdout.readline()
    signal.alarm(0)
    if line.strip() != "ready":
        raise SystemExit(f"{name} did not come up")


class Server:
    """An echo server on its core; `wrap` are words before its name, such as valgrind's."""

    def __init__(self, name: str, wrap: list[str] = (), environment: dict[str, str] = {}, errors=None):
        self.name, self.port = name, free_port()
        self.child = start(
            [*wrap, program(name), str(self.port)],
            core=SERVER_CORE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | environment,
        )
        wait_ready(self.child, name)

    @property
    def pid(self) -> int:
        return self.child.pid

    def cpu_ns(self) -> int:
        """CPU time, user and system, of all threads, the kernel's workers for this process among them."""
        return sum(int(path.read_text().split()[0]) for path in pathlib.Path(f"/proc/{self.pid}/task").glob("*/schedstat"))

    def memory_bytes(self) -> int:
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return sum(1024 * int(kib) for kib in re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+)", status, re.M))

    def stop(self) -> str:
        """Ends it; what it had written to standard error."""
        if self.child.poll() is not None:
            raise SystemExit(f"{self.name} ended by itself with {self.child.returncode}")
        self.child.terminate()
        return self.child.communicate()[1] or ""


class Load:
    """The client on its core: connected as long as it lives, silent between runs."""

    def __init__(self, port: int, connections: int):
        self.child = start(
            [program("load"), str(port), str(connections)],
            core=LOAD_CORE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        wait_ready(self.child, "load")

    def run(self, requests: int) -> float:
        """Seconds for that many requests, each reply checked."""
        self.child.stdin.write(f"{requests}\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit("load failed: a reply was wrong, or a connection broke")
        return float(line)

    def stop(self) -> None:
        self.child.stdin.close()
        self.child.wait()


@contextlib.contextmanager
def serving(name: str, connections: int, **options):
    server = Server(name, **options)
    load = Load(server.port, connections)
    try:
        yield server, load
        load.stop()
        server.stop()
    finally:
        for child in (load.child, server.child):
            if child.poll() is None:
                child.kill()
                child.wait()


CALLGRIND = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]


def collected(errors: str, name: str) -> int:
    found = re.search(r"Collected : (\d+)", errors)
    if not found:
        raise SystemExit(f"callgrind says nothing of {name}: {errors[-500:]}")
    return int(found[1])


def slope(low: tuple[int, int], high: tuple[int, int]) -> float:
    return (high[1] - low[1]) / (high[0] - low[0])


class SyscallCounter:
    """Counts what the kernel sees one process call, by a tracepoint: the process runs at full speed."""

    def __init__(self, pid: int):
        self.child = start([program("syscall_count"), str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.child.stdout.readline()

    def count(self) -> int:
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return int(self.child.stdout.readline())

    def stop(self) -> None:
        self.child.stdin.close()
        self.child.wait()


class AllocationCounter:
    """A file that liballoc_count.so counts heap allocations into."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix=f"zsync-allocations-{os.getpid()}-")
        self.file.write(bytes(8))
        self.file.flush()
        self.environment = {"LD_PRELOAD": program("liballoc_count.so"), "ZSYNC_ALLOC_COUNT": self.file.name}

    def count(self) -> int:
        return int.from_bytes(pathlib.Path(self.file.name).read_bytes(), "little")


def median(values) -> float:
    return statistics.median(values)


def print_table(title: str, columns: list[str], lines: list[list]) -> None:
    """What was measured of every program, for people: standard error is passed on by `./dev bench`."""
    cells = [columns] + [[value if isinstance(value, str) else f"{value:.4g}" for value in line] for line in lines]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    say(f"\n{title}")
    for line in cells:
        say("  " + "  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]))
