"""Machines for the tests of this folder, and the packages that they install."""

import pathlib
import shutil
import subprocess

import machine as machines
import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = TOP / "build" / "deb"
DPKG_SECONDS_MAX = 180


def package(name: str) -> pathlib.Path:
    found = sorted(PACKAGES.glob(f"{name}_*.deb"))
    assert len(found) == 1, f"one {name} package in {PACKAGES}, which './dev deb' makes, and not {found}"
    return found[0]


def with_version(source: pathlib.Path, version: str, target: pathlib.Path) -> pathlib.Path:
    """The package again, as a later build of it: same content, another version."""
    tree = target.with_suffix(".tree")
    subprocess.run(["dpkg-deb", "--raw-extract", str(source), str(tree)], check=True)
    control = tree / "DEBIAN" / "control"
    lines = [f"Version: {version}" if line.startswith("Version:") else line for line in control.read_text().splitlines()]
    control.write_text("\n".join(lines) + "\n")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(target)], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return target


def install(machine: machines.Machine, deb: pathlib.Path) -> str:
    """Install a package of this side in the machine; returns what dpkg printed."""
    inside = machine.host_folder / deb.name
    if inside != deb:
        shutil.copy(deb, inside)
    done = machine.run("dpkg", "--install", f"/run/host/{deb.name}", timeout=DPKG_SECONDS_MAX)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def machine():
    """A fresh machine with nothing of zsync's on it, one a test file."""
    with machines.Machine() as made:
        yield made


@pytest.fixture(scope="module")
def service(machine):
    """The machine with the package installed."""
    install(machine, package("zsync"))
    return machine
