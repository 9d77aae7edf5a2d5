import collections
import json
import pathlib
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TESTS / "zsyncd"))

import peers  # noqa: E402
from service import Service  # noqa: E402

CAPTURES = pathlib.Path(__file__).resolve().parent / "captures"
Replay = collections.namedtuple("Replay", "code report errors")


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """zsyncd on a private bus, without any privilege used."""
    service = Service(tmp_path_factory.mktemp("zsync"))
    service.start()
    yield service
    service.close()


@pytest.fixture(scope="session")
def replay(service):
    """Runs `zsyncctl packet replay` on a file."""

    def run(path: pathlib.Path | str, **options) -> Replay:
        words = ["zsyncctl", "--bus", service.address, "packet", "replay", str(path)]
        done = subprocess.run(words, capture_output=True, timeout=60, **options)
        report = json.loads(done.stdout) if done.stdout else None
        return Replay(done.returncode, report, done.stderr.decode())

    return run


@pytest.fixture(scope="session")
def suricata(tmp_path_factory):
    """The events that Suricata makes of a capture, by their type."""

    def run(path: pathlib.Path) -> dict[str, list[dict]]:
        folder = tmp_path_factory.mktemp("suricata")
        # Without rules, and without judging checksums, which a sending host's captures do not have yet.
        words = ["suricata", "-r", str(path), "-l", str(folder), "-k", "none", "-S", "/dev/null"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
        events = collections.defaultdict(list)
        for line in (folder / "eve.json").read_text().splitlines():
            event = json.loads(line)
            events[event["event_type"]].append(event)
        return events

    return run


@pytest.fixture(scope="session")
def tshark():
    """Fields of the packets that a display filter selects, each row a tuple of texts."""

    return peers.tshark
