"""./dev runs commands faithfully and leaves the machine as it was."""

import json
import os
import pathlib
import pty
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
DEV = str(TOP / "dev")


def dev(*words: str, **options) -> subprocess.CompletedProcess:
    # A fresh session, as from a person's shell: not the one that this test runs in.
    environment = {name: value for name, value in os.environ.items() if name != "ZSYNC_SESSION_NS"}
    return subprocess.run([DEV, *words], capture_output=True, text=True, env=environment | {"ZSYNC_SESSION": "none"}, **options)


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_exit_code_passes_through(code):
    assert dev("exec", "sh", "-c", f"exit {code}").returncode == code


def test_input_output_and_words_pass_through():
    done = dev("exec", "sh", "-c", 'cat; echo "$1" >&2', "sh", "a  b*", input="line\n")
    assert (done.stdout, done.stderr) == ("line\n", "a  b*\n")


def test_working_directory_passes_through():
    assert dev("exec", "pwd", cwd=TOP / "scripts").stdout.strip() == str(TOP / "scripts")


def test_built_programs_come_first_in_path():
    assert dev("exec", "sh", "-c", "echo $PATH").stdout.startswith(f"{TOP}/build/release/bin:")


def test_session_mounts_stay_in_the_session():
    before = pathlib.Path("/proc/self/mountinfo").read_text()
    done = dev("exec", "sh", "-c", "mount -t tmpfs x /mnt && ip netns add left-behind && ip netns")
    assert "left-behind" in done.stdout, done.stderr
    assert pathlib.Path("/proc/self/mountinfo").read_text() == before
    assert "left-behind" not in subprocess.run(["ip", "netns"], capture_output=True, text=True).stdout


def test_terminal_passes_through():
    parent, child = pty.openpty()
    done = dev("exec", "sh", "-c", "test -t 0 && stty size", stdin=child)
    os.close(child)
    os.close(parent)
    assert done.returncode == 0 and done.stdout.split() == ["0", "0"], done.stderr


def test_unknown_verb_is_a_usage_error():
    done = dev("frobnicate")
    assert done.returncode == 2 and "no verb 'frobnicate'" in done.stderr and "usage:" in done.stderr


def test_benchmarks_become_one_table_and_one_array(tmp_path):
    bench = tmp_path / "one.py"
    row = {"what": "thing", "ours": 1.5, "peer": 3.0, "unit": "us", "ratio": 0.5, "goal": "<= 1.0", "reached": True}
    bench.write_text(f"import json\nprint(json.dumps({row!r}))\nprint('talk')\n")
    (tmp_path / "benches.tsv").write_text(f"bench/x/one\t{bench}\nbench/y/two\t{bench}\n")
    command = ["python3", str(TOP / "scripts/dev/bench.py"), "--build", str(tmp_path), "x/", "--json", str(tmp_path / "o")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "o").read_text()) == [row]
    assert done.stdout.splitlines()[1].split() == ["thing", "1.5", "3", "us", "0.50x", "<=", "1.0", "yes"]


@pytest.mark.parametrize("body, words", [("print('{}')", "row without"), ("raise SystemExit(3)", "exit code 3"), ("", "no row")])
def test_broken_benchmark_fails_the_command(tmp_path, body, words):
    bench = tmp_path / "one.py"
    bench.write_text(body)
    (tmp_path / "benches.tsv").write_text(f"bench/x/one\t{bench}\n")
    done = subprocess.run(["python3", str(TOP / "scripts/dev/bench.py"), "--build", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1 and words in done.stderr


def build_depends(**environment: str) -> set[str]:
    script = f"TOP={TOP}; . scripts/dev/root.sh; build_depends"
    return set(subprocess.check_output(["bash", "-c", script], cwd=TOP, text=True, env=os.environ | environment).split())


def test_peers_of_benchmarks_are_no_part_of_the_plain_root():
    plain, with_peers = build_depends(ZSYNC_DEV_PEERS=""), build_depends(ZSYNC_DEV_PEERS="1")
    assert {"g++", "valgrind"} <= plain < with_peers
    assert {"cargo", "fio", "libuv1-dev"} <= with_peers - plain


@pytest.mark.parametrize(
    "printed",
    ["needs a moon", "x_test.cpp:3: Skipped\nneeds a moon\n\n[  SKIPPED ] X.y (0 ms)", "SKIPPED [1] test_x.py:8: needs a moon\n1 skipped"],
)
def test_skipped_test_is_listed_with_its_reason(tmp_path, printed):
    (tmp_path / "CTestTestfile.cmake").write_text(
        f'add_test(dark "printf" "%s" [[{printed}]])\nset_tests_properties(dark PROPERTIES SKIP_REGULAR_EXPRESSION "needs")\n'
        'add_test(light "true")\n'
    )
    command = ["python3", str(TOP / "scripts/dev/skipped.py"), "--test-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 - dark (Skipped): needs a moon" in done.stdout
