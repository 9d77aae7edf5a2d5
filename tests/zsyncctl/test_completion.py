"""bash completes zsyncctl's verbs, options and interface names."""

import os
import pathlib
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
COMPLETION = TOP / "userspace" / "zsyncctl" / "completion" / "zsyncctl"

# Calls the completion function as bash does at a press of Tab; the argument is the line up to the cursor.
DRIVER = r"""
source /usr/share/bash-completion/bash_completion
source "$1"
COMP_LINE=$2
COMP_POINT=${#COMP_LINE}
COMP_TYPE=9
COMP_KEY=9
# bash's own way of splitting: at blanks and at each of COMP_WORDBREAKS, which are words of their own
mapfile -t COMP_WORDS < <(python3 -c '
import re, sys
words = re.findall(r"[=:]+|[^\s=:]+", sys.argv[1])
print("\n".join(words + [""] * sys.argv[1].endswith((" ", "="))))' "$COMP_LINE")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_zsyncctl zsyncctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""

STATUS = """{
  "version": "0.1.0",
  "interfaces": [
    {
      "ifname": "veth-a",
      "state": "attached"
    },
    {
      "ifname": "wan0.42",
      "state": "absent"
    }
  ]
}
"""


@pytest.fixture
def complete(tmp_path):
    """Completes a line, with a zsyncctl that says what a daemon would and notes how it was called."""
    programs = tmp_path / "programs"
    work = tmp_path / "work"
    programs.mkdir()
    work.mkdir()
    fake = programs / "zsyncctl"
    fake.write_text(f'#!/bin/sh\necho "$@" >"{programs}/called"\ncat <<"END"\n{STATUS}END\n')
    fake.chmod(0o755)
    (work / "my.rules").touch()

    def run(line: str) -> list[str]:
        done = subprocess.run(
            ["bash", "-c", DRIVER, "bash", str(COMPLETION), line],
            cwd=work,
            env=dict(os.environ, PATH=f"{programs}:{os.environ['PATH']}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert done.returncode == 0 and not done.stderr, done.stderr
        return sorted(done.stdout.split())

    run.called = lambda: (programs / "called").read_text().split()
    return run


@pytest.mark.parametrize(
    "line, words",
    [
        ("zsyncctl ", ["alerts", "features", "flows", "help", "jobs", "packet", "reload", "status", "tasks", "top"]),
        ("zsyncctl st", ["status"]),
        ("zsyncctl --json st", ["status"]),
        (
            "zsyncctl packet ",
            ["analyse", "attach", "capture", "classes", "detach", "explain", "forward", "limits", "load", "replay", "rule", "rules", "set", "stats", "watch"],
        ),
        ("zsyncctl packet --json d", ["detach"]),
        ("zsyncctl help packet w", ["watch"]),
        ("zsyncctl packet rules ", ["veth-a", "wan0.42"]),
        ("zsyncctl packet rules w", ["wan0.42"]),
        ("zsyncctl packet limits --keys 3 veth-a ", ["set"]),
        ("zsyncctl packet limits veth-a --k", ["--keys"]),
        ("zsyncctl packet classes veth-a ", ["set", "shape"]),
        ("zsyncctl packet load ", ["veth-a", "wan0.42"]),
        ("zsyncctl packet load --check veth-a ", ["my.rules"]),
        ("zsyncctl packet load veth-a my", ["my.rules"]),
        ("zsyncctl packet replay my", ["my.rules"]),
        ("zsyncctl packet analyse veth-a --s", ["--sample"]),
        ("zsyncctl packet forward eth0 eth1 my", ["my.rules"]),
        ("zsyncctl packet forward eth0 eth1 --o", ["--off"]),
        ("zsyncctl packet capture veth-a --f", ["--for"]),
        ("zsyncctl flows ", ["veth-a", "wan0.42"]),
        ("zsyncctl alerts w", ["wan0.42"]),
        ("zsyncctl packet rules veth-a ", []),
        ("zsyncctl packet attach eth0 --mode ", ["auto", "generic", "native"]),
        ("zsyncctl packet attach eth0 --mode=n", ["native"]),
        ("zsyncctl packet attach eth0 --mode native --j", ["--json"]),
        ("zsyncctl packet watch veth-a --", ["--bus", "--count", "--help", "--interval", "--json", "--no-color", "--version"]),
        ("zsyncctl packet watch veth-a --interval ", []),
        ("zsyncctl status --c", []),
        ("zsyncctl tasks --c", ["--chains"]),
        ("zsyncctl top --c", ["--chains", "--count"]),
        ("zsyncctl top --sort w", ["wakes"]),
        ("zsyncctl top --sort=", ["age", "cpu", "name", "polls", "tree", "wakes"]),
        ("zsyncctl packet load --c", ["--check"]),
    ],
)  # fmt: skip
def test_completes(complete, line, words):
    assert complete(line) == words


def test_attach_offers_the_interfaces_of_the_host(complete):
    assert complete("zsyncctl packet attach l") == ["lo"]
    assert set(os.listdir("/sys/class/net")) - {"bonding_masters"} == set(complete("zsyncctl packet attach "))


@pytest.mark.parametrize(
    "line, called",
    [
        ("zsyncctl --bus unix:path=/run/x packet rules ", ["--bus", "unix:path=/run/x", "status", "--json"]),
        ("zsyncctl --bus=unix:path=/run/x packet rules ", ["--bus=unix:path=/run/x", "status", "--json"]),
    ],
)
def test_asks_the_bus_of_the_command_line(complete, line, called):
    assert complete(line) == ["veth-a", "wan0.42"]
    assert complete.called() == called
