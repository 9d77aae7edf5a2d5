"""Each public header compiles alone, so that including it first or last makes no difference."""

import concurrent.futures
import json
import os
import pathlib
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[2]
# A generated or third-party header directory counts wherever some source of the tree is compiled with it.
BUILD = TOP / "build" / "release"


def flags() -> list[str]:
    found: list[str] = []
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        words = entry["command"].split()
        for index, word in enumerate(words):
            if word == "-isystem":
                found += ["-isystem" + words[index + 1]]
            elif word.startswith(("-I", "-D")):
                found.append(word)
    return list(dict.fromkeys(found))


def test_each_header_compiles_alone(tmp_path):
    common = ["ccache", "g++", "-std=gnu++23", "-w", f"-I{TOP / 'userspace'}", *flags()]

    def errors(numbered: tuple[int, pathlib.Path]) -> str:
        number, header = numbered
        command = [*common, "-x", "c++", "-c", str(header), "-o", str(tmp_path / f"{number}.o")]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        lines = [line for line in done.stderr.splitlines() if "error" in line]
        return f"{header.relative_to(TOP)}: {'; '.join(lines[:3])}" if done.returncode else ""

    headers = sorted((TOP / "userspace").rglob("*.hpp"))
    assert headers
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = [text for text in pool.map(errors, enumerate(headers)) if text]
    assert not failed, "\n" + "\n".join(failed)
