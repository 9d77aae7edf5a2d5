"""What outside projects compile with the flags that the installed library gives them."""

import pathlib
import shlex
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / "build" / "release"

# Nothing in the loop waits, so nothing but tail calls keeps the stack from growing.
LOOP = """
#include <zsync/core/thread_executor.hpp>
#include <zsync/core/worker.hpp>
using namespace zsync;

Task<int> one(int number) { co_return number; }
Task<long> sum(int count) {
    long sum = 0;
    for (int n = 0; n < count; ++n) {
        sum += co_await one(n);
    }
    co_return sum;
}
int main() {
    auto worker = Worker::create();
    auto threads = ThreadExecutor::create();
    if (!worker || !threads) { return 2; }
    const bool right = (*worker)->fiber_io().run("sum", sum(100'000)) == 4'999'950'000 &&
                       (*worker)->io().run("sum", sum(1'000'000)) == 499'999'500'000 &&
                       (*threads)->io().run("sum", sum(1'000'000)) == 499'999'500'000;
    return right ? 0 : 1;
}
"""


def code_flags() -> list[str]:
    lines = (BUILD / "zsync-core.pc").read_text().splitlines()
    words = next(shlex.split(line) for line in lines if line.startswith("Cflags:"))
    return [word for word in words if word.startswith("-f")]


def test_loops_over_coroutines_keep_their_stack_without_optimising(tmp_path):
    (tmp_path / "loop.cpp").write_text(LOOP)
    library = BUILD / "userspace" / "zsync" / "core" / "libzsync_core.a"
    subprocess.run(
        ["g++", "-std=c++23", *code_flags(), f"-I{TOP / 'userspace'}", "-o", "loop", "loop.cpp"]
        + [str(library), "-luring", "-lsystemd", "-pthread"],
        cwd=tmp_path,
        check=True,
    )
    subprocess.run([tmp_path / "loop"], check=True)


def test_cmake_gives_what_pkg_config_gives():
    config = (BUILD / "zsyncConfig.cmake").read_text()
    core = config.partition("set_target_properties(zsync::core ")[2].partition("\n)")[0]
    for flag in code_flags():
        assert f"$<$<COMPILE_LANG_AND_ID:CXX,GNU>:{flag}>" in core
