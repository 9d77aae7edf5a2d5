"""What others say of a capture."""

import os
import pathlib
import subprocess


def tshark(path: pathlib.Path, display_filter: str, *fields: str) -> list[tuple[str, ...]]:
    """Fields of the packets that a display filter selects, each row a tuple of texts."""
    words = ["tshark", "-r", str(path), "-2", "-Y", display_filter, "-T", "fields"]
    words += [word for field in fields for word in ("-e", field)]
    environment = dict(os.environ, HOME="/nonexistent", LC_ALL="C.UTF-8")
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 0, done.stderr
    return [tuple(line.split("\t")) for line in done.stdout.splitlines()]
