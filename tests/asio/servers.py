"""Servers from Debian for the tests of Asio's libraries: in a folder of their own, gone with the test."""

import contextlib
import getpass
import os
import pathlib
import socket
import subprocess
import time

READY_SECONDS_MAX = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command: list[str], log: pathlib.Path):
    """A server that dies with this process, whatever happens to it."""
    with log.open("wb") as output:
        words = ["setpriv", "--pdeathsig", "KILL", "--", *command]
        child = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def wait_until(ready, child: subprocess.Popen, log: pathlib.Path) -> None:
    end = time.monotonic() + READY_SECONDS_MAX
    while not ready():
        assert child.poll() is None and time.monotonic() < end, f"the server does not come up:\n{log.read_text()[-2000:]}"
        time.sleep(0.02)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def redis(folder: pathlib.Path):
    """Yields (port, pid)."""
    port, log = free_port(), folder / "redis.log"
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "no"]
    with running(command, log) as child:
        wait_until(lambda: answers(port), child, log)
        yield port, child.pid


@contextlib.contextmanager
def mariadb(folder: pathlib.Path):
    """Yields the port of a server with the user `tester`, password `secret`, and the database `test`."""
    port, log, data = free_port(), folder / "mariadb.log", folder / "data"
    user = getpass.getuser()
    subprocess.run(
        [
            "mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--user={user}", "--auth-root-authentication-method=normal",
            "--skip-test-db", "--innodb-log-file-size=4M",
        ],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, timeout=60,
    )  # fmt: skip
    setup = folder / "setup.sql"
    setup.write_text(  # a statement a line
        "CREATE DATABASE test;\nCREATE USER tester@'127.0.0.1' IDENTIFIED BY 'secret';\nGRANT ALL ON test.* TO tester@'127.0.0.1';\n"
    )
    command = [
        "mariadbd", "--no-defaults", f"--datadir={data}", f"--user={user}", f"--socket={folder}/mariadb.sock",
        f"--pid-file={folder}/mariadb.pid", f"--port={port}", "--bind-address=127.0.0.1", "--skip-log-bin", "--skip-name-resolve",
        "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M", "--performance-schema=OFF", f"--init-file={setup}",
    ]  # fmt: skip
    with running(command, log) as child:
        wait_until(lambda: answers(port), child, log)
        yield port


def run_case(program: str, case: str, **environment: str) -> None:
    """One GoogleTest case, in a process of its own."""
    words = [program, f"--gtest_filter={case}", "--gtest_also_run_disabled_tests"]
    done = subprocess.run(words, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode == 0 and "[  PASSED  ] " in done.stdout and "0 tests." not in done.stdout, done.stdout


def cases(program: str) -> list[str]:
    listed = subprocess.run([program, "--gtest_list_tests"], stdout=subprocess.PIPE, text=True, check=True, timeout=30)
    names, suite = [], ""
    for line in listed.stdout.splitlines():
        word = line.partition("#")[0].strip()
        if not line.startswith(" "):
            suite = word
        elif word:
            names.append(suite + word)
    return [name for name in names if "." in name]
