"""The manual pages are made without an error and shown without a warning."""

import pathlib
import subprocess

import pytest

PAGES = sorted((pathlib.Path(__file__).resolve().parents[2] / "docs" / "man").glob("*.scd"))


@pytest.mark.parametrize("source", PAGES, ids=lambda path: path.stem)
def test_page_is_clean(source, tmp_path):
    page = tmp_path / source.stem
    with open(source, "rb") as text, open(page, "wb") as out:
        subprocess.run(["scdoc"], stdin=text, stdout=out, check=True)
    done = subprocess.run(
        ["man", "--warnings", "-l", str(page)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True
    )
    assert not done.stderr
    assert "NAME" in done.stdout and source.stem.rpartition(".")[0] in done.stdout
