"""The packages: installed, upgraded, removed and purged under systemd; built against from outside."""

import json
import subprocess
import textwrap

import conftest
import machine as machines
import pytest

SENT = 20
UNIT = "zsyncd.service"
RULES = 'default pass\ndrop proto udp dport 4001 name "denied"\n'
# Sends COUNT datagrams from the namespace `far` to PORT of near0 and prints how many arrive.
PROBE = """#!/usr/bin/python3
import os, socket, sys

port, count = int(sys.argv[1]), int(sys.argv[2])
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.bind(("10.99.0.1", port))
here.settimeout(0.3)
with open("/run/netns/far") as far:
    os.setns(far.fileno(), os.CLONE_NEWNET)
there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(count):
    there.sendto(b"x", ("10.99.0.1", port))
arrived = 0
try:
    while here.recv(16):
        arrived += 1
except TimeoutError:
    print(arrived)
"""
PROJECT = """cmake_minimum_required(VERSION 3.25)
project(outside CXX)
add_executable(my_program main.cpp)
{readme}
find_package(zsync 0.1 REQUIRED COMPONENTS core packet bus)
add_executable(my_other main.cpp)
target_link_libraries(my_other PRIVATE zsync::packet zsync::bus)
"""
PAGE = """cmake_minimum_required(VERSION 3.31)
project(page CXX)
find_package(zsync REQUIRED)
add_executable(page main.cpp)
target_link_libraries(page PRIVATE zsync::core)
"""
PROJECT_WITH_ASIO = """cmake_minimum_required(VERSION 3.31)
project(with_asio CXX)
find_package(zsync 0.1 REQUIRED COMPONENTS asio)
add_executable(with_asio main.cpp)
target_link_libraries(with_asio PRIVATE zsync::asio)
"""
WITH_ASIO = """#include <boost/asio/steady_timer.hpp>
#include <cstdio>
#include <zsync/asio/use_task.hpp>
#include <zsync/core/worker.hpp>

using namespace zsync;

Task<Result<void>> fire(zsync::asio::Context& context) {
    boost::asio::steady_timer timer(context, std::chrono::milliseconds(1));
    ZCO_CHECK(co_await timer.async_wait(zsync::asio::use_task));
    std::puts("fired");
    co_return {};
}

int main() {
    auto worker = Worker::create();
    return worker && (*worker)->run("wait", zsync::asio::in_context((*worker)->io(), fire)) ? 0 : 1;
}
"""


@pytest.fixture
def fresh():
    with machines.Machine() as made:
        yield made


def test_lintian_finds_nothing_wrong():
    packages = [str(conftest.package(name)) for name in ("zsync", "libzsync-dev")]
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", *packages], capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout == "", done.stdout + done.stderr


def readme_example() -> tuple[str, str]:
    """The lines for CMake and the program that the README shows for the library."""
    section = (conftest.TOP / "README.md").read_text().partition("## Link the library\n")[2].partition("\n## ")[0]
    lines = textwrap.dedent(section).strip().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("#include"))
    return "\n".join(lines[:start]), "\n".join(lines[start:]) + "\n"


def test_example_of_the_readme_builds_against_the_library_package(fresh):
    conftest.install(fresh, conftest.package("libzsync-dev"))
    for_cmake, program = readme_example()
    fresh.write("/src/main.cpp", program)
    fresh.write("/src/CMakeLists.txt", PROJECT.format(readme=for_cmake))
    fresh.sh("cmake -G Ninja -S /src -B /src/build && cmake --build /src/build", timeout=300)
    fresh.sh("/src/build/my_program && /src/build/my_other")
    fresh.sh("g++ -std=c++23 -o /src/by-pkgconf /src/main.cpp $(pkg-config --cflags --libs zsync-core)", timeout=300)
    fresh.sh("/src/by-pkgconf")


def program_of_the_runtime_page() -> str:
    return (conftest.TOP / "docs" / "runtime.md").read_text().partition("```cpp\n")[2].partition("```")[0]


def test_examples_build_against_the_library_package(fresh):
    conftest.install(fresh, conftest.package("libzsync-dev"))
    for source in (conftest.TOP / "examples").glob("*/*"):
        fresh.write(f"/src/{source.parent.name}/{source.name}", source.read_text())
    fresh.write("/src/page/main.cpp", program_of_the_runtime_page())
    fresh.write("/src/page/CMakeLists.txt", PAGE)
    for name in ("c_echo", "checksum_tree", "http_server", "packet_echo", "page"):
        fresh.sh(f"cmake -G Ninja -S /src/{name} -B /src/{name}/build && cmake --build /src/{name}/build", timeout=300)
    file = "/src/http_server/main.cpp"
    assert fresh.sh(f"/src/checksum_tree/build/checksum_tree /src/http_server | grep {file}") == fresh.sh(f"cksum {file}")
    fresh.sh(f"/src/page/build/page < {file} | cmp - {file}")
    # gdb loads the commands for a program of the library by itself.
    assert "no executor lives" in fresh.sh("gdb -q -batch -ex 'zsync tasks' /src/page/build/page")


def test_asio_and_c_are_used_from_outside(fresh):
    conftest.install(fresh, conftest.package("libzsync-dev"))
    fresh.write("/src/asio/main.cpp", WITH_ASIO)
    fresh.write("/src/asio/CMakeLists.txt", PROJECT_WITH_ASIO)
    fresh.sh("cmake -G Ninja -S /src/asio -B /src/asio/build && cmake --build /src/asio/build", timeout=300)
    assert fresh.sh("/src/asio/build/with_asio") == "fired"
    fresh.write("/src/c/main.c", (conftest.TOP / "examples" / "c_echo" / "main.c").read_text())
    fresh.sh("gcc -D_GNU_SOURCE -o /src/c/c_echo /src/c/main.c $(pkg-config --cflags --libs --static zsync-c)", timeout=300)
    fresh.sh("/src/c/c_echo 4567 >/dev/null 2>&1 & echo $! > /src/c/pid; until nc -z 127.0.0.1 4567; do sleep 0.05; done", timeout=30)
    assert fresh.sh("echo hello | nc -N -w 10 127.0.0.1 4567; kill $(cat /src/c/pid)") == "hello"


def test_every_installed_module_names_what_it_needs(fresh):
    conftest.install(fresh, conftest.package("libzsync-dev"))
    names = fresh.sh("cd /usr/lib/*/pkgconfig && ls zsync-*.pc | sed s/.pc$//").split()
    assert {"zsync-asio", "zsync-bus", "zsync-c", "zsync-core", "zsync-packet"} <= set(names)
    for name in names:
        assert f"-l{name.replace('-', '_')}" in fresh.sh(f"pkg-config --libs {name}")


def filtered(machine) -> tuple[int, int]:
    """Datagrams that come through of SENT allowed and SENT denied ones, sent into near0."""
    return int(machine.sh(f"/run/host/probe 4000 {SENT}")), int(machine.sh(f"/run/host/probe 4001 {SENT}"))


def link_id(machine) -> int:
    # bpftool shows a link that is pinned by its path and then exits with 255.
    return json.loads(machine.sh("bpftool -j link show pinned /sys/fs/bpf/zsync/packet/near0/link || true"))["id"]


def install_and_filter(machine) -> None:
    """The package, and a filter on near0 whose other end lies in the namespace `far`."""
    conftest.install(machine, conftest.package("zsync"))
    machine.sh(
        "ip netns add far; ip link add near0 type veth peer name far0 netns far; ip addr add 10.99.0.1/24 dev near0;"
        "ip link set near0 up; ip -n far addr add 10.99.0.2/24 dev far0; ip -n far link set far0 up"
    )
    machine.write("/run/host/probe", PROBE, 0o755)
    machine.write("/etc/zsync/near0.rules", RULES)
    machine.run("zsyncctl", "packet", "attach", "near0")
    machine.run("zsyncctl", "packet", "load", "near0", "/etc/zsync/near0.rules")
    assert filtered(machine) == (SENT, 0)


@pytest.fixture
def filtering(fresh):
    install_and_filter(fresh)
    return fresh


def test_upgrade_restarts_the_daemon_and_keeps_the_filter(filtering, tmp_path):
    link = link_id(filtering)
    pid = filtering.show(UNIT, "MainPID")
    later = conftest.with_version(conftest.package("zsync"), "0.1.1", tmp_path / "zsync_0.1.1_amd64.deb")
    conftest.install(filtering, later)
    assert filtering.sh("dpkg-query -W -f '${Version}' zsync") == "0.1.1"
    assert filtering.show(UNIT, "ActiveState") == "active" and filtering.show(UNIT, "MainPID") != pid
    assert link_id(filtering) == link, "the filter was never taken off"
    assert filtered(filtering) == (SENT, 0)
    rules = json.loads(filtering.sh("zsyncctl packet rules near0 --json"))
    assert [rule["packets"] for rule in rules if rule["name"] == "denied"] == [2 * SENT], "counters go on"


def test_stopped_daemon_leaves_the_filter_and_an_installed_package_starts_adopting_it(filtering):
    filtering.run("systemctl", "stop", UNIT)
    assert filtered(filtering) == (SENT, 0)
    filtering.run("systemctl", "start", UNIT)
    adopted = filtering.sh("busctl get-property org.zsync1 /org/zsync1/packet/near0 org.zsync1.PacketInterface Adopted")
    assert adopted == "b true"
    assert filtered(filtering) == (SENT, 0)


def test_removal_detaches_and_says_so(filtering):
    done = filtering.run("dpkg", "--remove", "zsync", timeout=conftest.DPKG_SECONDS_MAX)
    assert "detaching the packet filter of near0" in done.stdout + done.stderr
    assert filtered(filtering) == (SENT, SENT)
    assert "zsync" not in filtering.sh("ls /sys/fs/bpf")
    assert filtering.run("test", "-e", "/etc/zsync/near0.rules", check=False).returncode == 0
    conftest.install(filtering, conftest.package("zsync"))
    assert filtering.show(UNIT, "ActiveState") == "active"


def named_zsync(machine) -> set[str]:
    """Every path with zsync in it. What dpkg keeps of a package is its own business, and /run/host is the test's."""
    found = machine.sh(
        "find / -xdev \\( -path /proc -o -path /run/host -o -path /run/systemd/journal -o -path /var/lib/dpkg \\) -prune -o"
        " -path '*zsync*' -print; find /run /sys/fs/bpf -name '*zsync*' -not -path '/run/host/*'"
    )
    return set(found.splitlines())


def test_purge_leaves_nothing(fresh):
    before = named_zsync(fresh)
    install_and_filter(fresh)
    assert {"/usr/sbin/zsyncd", "/sys/fs/bpf/zsync"} <= named_zsync(fresh)
    fresh.run("dpkg", "--purge", "zsync", timeout=conftest.DPKG_SECONDS_MAX)
    assert filtered(fresh) == (SENT, SENT)
    assert named_zsync(fresh) - before == set()
    assert fresh.run("getent", "passwd", "zsync", check=False).returncode != 0
    assert fresh.run("getent", "group", "zsync", check=False).returncode != 0
    assert "zsyncd" not in fresh.sh(
        "systemctl list-units --all --no-legend --plain 'zsync*'; systemctl list-unit-files --no-legend 'zsync*' || true"
    )
    assert fresh.run("dpkg-query", "-W", "zsync", check=False).returncode != 0
