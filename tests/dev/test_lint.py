"""clang-tidy reads a file again when anything that it read has changed, and only then."""

import pathlib
import shutil
import subprocess
import sys

import pytest

LINT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "dev" / "lint.py"
FILES = {
    ".clang-tidy": "Checks: '-*,google-explicit-constructor'\nWarningsAsErrors: '*'\nHeaderFilterRegex: '.*'\n",
    "CMakeLists.txt": "cmake_minimum_required(VERSION 3.25)\nproject(small LANGUAGES CXX)\n"
    "add_library(small userspace/one.cpp userspace/two.cpp)\n",
    "userspace/one.cpp": '#include "one.hpp"\n',
    "userspace/one.hpp": "struct One {\n    explicit One(int);\n};\n",
    "userspace/two.cpp": "int two() { return 2; }\n",
}


class Tree:
    def __init__(self, top: pathlib.Path):
        self.top = top
        for name, text in FILES.items():
            self.write(name, text)
        (top / "scripts/dev").mkdir(parents=True)
        shutil.copy(LINT, top / "scripts/dev")
        words = ["cmake", "-G", "Ninja", "-S", top, "-B", top / "build", "-D", "CMAKE_EXPORT_COMPILE_COMMANDS=ON"]
        subprocess.run(words, check=True, capture_output=True)

    def write(self, name: str, text: str) -> None:
        (self.top / name).parent.mkdir(exist_ok=True)
        (self.top / name).write_text(text)

    def lint(self) -> tuple[int, dict[str, str]]:
        """What each file is that clang-tidy reads."""
        subprocess.run(["ninja", "-C", self.top / "build"], check=True, capture_output=True)
        words = [sys.executable, self.top / "scripts/dev/lint.py", "--all", "--only", "tidy", "--build", self.top / "build"]
        done = subprocess.run(words, capture_output=True, text=True)
        read = [line.split(": ") for line in done.stdout.splitlines() if line.startswith("lint: userspace/")]
        return done.returncode, {pathlib.Path(words[1]).name: words[2] for words in read}


@pytest.fixture
def tree(tmp_path) -> Tree:
    return Tree(tmp_path)


def test_what_is_clean_is_read_once(tree):
    assert tree.lint() == (0, {"one.cpp": "clean", "two.cpp": "clean"})
    assert tree.lint() == (0, {})


def test_a_file_is_read_again_when_its_header_changes(tree):
    tree.lint()
    tree.write("userspace/one.hpp", "struct One {\n    One(int);\n};\n")
    assert tree.lint() == (1, {"one.cpp": "FAILED"})
    assert tree.lint() == (1, {"one.cpp": "FAILED"})
    tree.write("userspace/one.hpp", FILES["userspace/one.hpp"])
    assert tree.lint() == (0, {})


def test_every_file_is_read_again_when_the_rules_change(tree):
    tree.lint()
    tree.write(".clang-tidy", FILES[".clang-tidy"].replace("constructor", "constructor,modernize-use-override"))
    assert tree.lint() == (0, {"one.cpp": "clean", "two.cpp": "clean"})
    tree.write("userspace/.clang-tidy", "InheritParentConfig: true\nChecks: '-google-explicit-constructor'\n")
    assert tree.lint() == (0, {"one.cpp": "clean", "two.cpp": "clean"})
