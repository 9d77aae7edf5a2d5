"""docs/runtime.md: what it shows compiles, and what it names is there.

A snippet is a piece of a program; SURROUNDINGS has what a reader thinks around it. `...` is left out of it."""

import dataclasses
import pathlib
import re
import subprocess
import textwrap

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs" / "runtime.md").read_text()
CORE = TOP / "userspace" / "zsync" / "core"

PRELUDE = """
#include <zsync/c/callback.hpp>
#include <zsync/core/batch.hpp>
#include <zsync/core/compute_pool.hpp>
#include <zsync/core/future.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/join_set.hpp>
#include <zsync/core/real_time_task.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/simulation.hpp>
#include <zsync/core/within.hpp>
#include <zsync/core/worker.hpp>
#include <zsync/core/worker_group.hpp>
#include <gtest/gtest.h>
#include <vector>
using namespace zsync;
using namespace std::chrono_literals;
struct Page {};
struct Address {
    auto operator<=>(const Address&) const = default;
};
using Addresses = std::vector<Address>;
template <> struct std::hash<Address> {
    std::size_t operator()(const Address&) const { return 0; }
};
"""


@dataclasses.dataclass
class Around:
    """What stands before a snippet and behind it, and what before some of its lines."""

    before: str = ""
    behind: str = ""
    within: dict[str, str] = dataclasses.field(default_factory=dict)


COROUTINE = "Task<Result<void>> caller(Io io) {"
END = "co_return {}; }"

# By a line of the snippet.
SURROUNDINGS = {
    "Task<Result<std::size_t>> copy(Io io, FdRef from, FdRef to) {": Around(),
    "int lines(Io io, FdRef file) {": Around(
        within={"Future<int> counted": "void start(Io fibers, Fd& file) {"}, behind="}"
    ),
    "ZCO_TRY(Page page, co_await within(io, io.now() + 5s, fetch, io, address));": Around(
        f"Task<Result<Page>> fetch(Io io, Address address); Address address; {COROUTINE}", END
    ),
    "Task<Result<Page>> first_of(JoinSet<Result<Page>>& pages, Io io, Addresses addresses);": Around(
        within={"ZCO_TRY": f"Addresses addresses; {COROUTINE}"}, behind=END
    ),
    "using Op = BatchOperation;": Around(
        f"struct File {{ const char* path; struct statx found; std::span<std::byte> buffer; }}; std::vector<File> files; {COROUTINE}",
        END,
    ),
    "Task<Result<Page>> render(Io io, Address address); // given the Io of the worker that it runs on": Around(
        "std::size_t n; Address address; Task<Result<void>> warm_cache(Io io);",
        "co_return {}; }",
        {"ZCO_TRY(auto workers": "Task<Outcome<void>> caller(Io io, Scope& scope) {"},
    ),
    "co_await io.compute([&] {": Around(f"std::vector<int> blocks; {COROUTINE}", END),
    "auto workers = ZTRY(WorkerGroup::create({": Around("Outcome<void> caller() {", "return {}; }"),
    "Task<Outcome<void>> control(Io io) {": Around("void step();"),
    "for (std::uint64_t seed = 1; seed <= 2000; ++seed) {": Around("Task<Result<void>> program(Io io); void test() {", "}"),
    "#include <zsync/asio/use_task.hpp>": Around(
        within={"auto line = co_await": f"tcp::endpoint server; {COROUTINE}"}, behind=END
    ),
    "#include <zsync/coord/keyed_limiter.hpp>": Around(
        within={"auto rate =": f"Address peer; void refuse(); {COROUTINE}"}, behind=END
    ),
    "Callback<int, const char*> answered(&library_abort, request);": Around(
        """using zsync::c::Callback;
        struct Request; Request* request;
        extern "C" void library_abort(void*);
        extern "C" void library_ask(Request*, void (*)(void*, int, const char*), void*);
        """
        + COROUTINE,
        END,
    ),
    "static void got(void* user, int64_t count) { /* a count, or a negated errno: -ECANCELED, -ETIMEDOUT, ... */ }": Around(
        "#include <zsync/c/zsync.h>\nstatic int fd; static char buffer[16];"
    ),
}


def snippets(language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", PAGE, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(text) for _, text in found]


def as_program(snippet: str) -> tuple[list[str], str]:
    """Its includes, and the rest with what stands around it."""
    around = SURROUNDINGS[next(line for line in snippet.splitlines() if line in SURROUNDINGS)]
    lines, includes = [], []
    for line in snippet.splitlines():
        for beginning, text in around.within.items():
            if line.startswith(beginning):
                lines.append(text)
        line = re.sub(r"\{ \.\.\. (.+) \.\.\. \}", r"{ (void)(\1); }", line)
        line = re.sub(r"^ *\.\.\.$|(?<=\{) \.\.\. (?=\})", "", line)
        (includes if line.startswith("#include") else lines).append(line)
    return includes, "\n".join([around.before, *lines, around.behind])


def compile_only(compiler: list[str], path: pathlib.Path) -> None:
    words = [*compiler, "-fsyntax-only", "-Wall", "-Wextra", "-Wno-unused", "-Werror=unused-result", f"-I{TOP}/userspace", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_every_snippet_has_its_surroundings():
    lines = set(PAGE.replace("   Task<", "Task<").splitlines())
    assert set(SURROUNDINGS) <= lines
    for language in ("cpp", "c"):
        for snippet in snippets(language):
            assert set(snippet.splitlines()) & set(SURROUNDINGS), snippet


def test_snippets_compile(tmp_path):
    includes, bodies = [], []
    for number, snippet in enumerate(snippets("cpp")):
        more, body = as_program(snippet)
        includes += more
        bodies.append(f"namespace snippet_{number} {{\n{body}\n}}")
    program = tmp_path / "snippets.cpp"
    program.write_text("\n".join([*includes, PRELUDE, *bodies]))
    compile_only(["g++", "-std=c++23"], program)


def test_snippets_in_c_compile(tmp_path):
    program = tmp_path / "snippets.c"
    program.write_text("\n".join("\n".join([*includes, body]) for includes, body in map(as_program, snippets("c"))))
    compile_only(["gcc", "-std=c11"], program)


def rows(above: str) -> list[str]:
    """The names in the first column of the table that begins with a line."""
    table = PAGE.partition(f"\n{above}\n")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)`", table, re.MULTILINE)


def test_every_feature_that_can_be_switched_off_is_there():
    source = (CORE / "runtime_options.cpp").read_text()
    names = re.findall(r'Name\{\.feature = KernelFeature::(\w+), \.name = "\1"\}', source)
    assert len(names) >= 7 and rows("| name | what it is for | without it |") == names


def test_every_word_about_leaks_is_there():
    refusal = re.search(r"ZSYNC_LEAKS has .*: it may list ([\w, ]+)", (CORE / "ledger.cpp").read_text())
    assert sorted(rows("| `ZSYNC_LEAKS` | effect |")) == sorted(refusal[1].split(", "))


@pytest.mark.parametrize("name", re.findall(r"`(\w+)(?:<[\w.]+>)?`", (CORE / "README.md").read_text().partition("| type |")[2].partition("\n\n")[0]))
def test_every_type_of_the_readme_is_there(name):
    headers = "".join(path.read_text() for path in CORE.glob("*.hpp"))
    defined = re.search(rf"\b(?:class|struct|using)\s+(?:\[\[\w+\]\]\s*)?{name}\b|\bauto {name}\(|\b{name}\(", headers)
    assert defined, name
