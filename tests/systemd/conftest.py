"""Machines for the tests of this folder, and the packages that they install."""

import pathlib

import machine as machines
import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def machine():
    """A fresh machine with nothing of zsync's on it, one a test file."""
    with machines.Machine() as made:
        yield made
