"""docs/packet.md names every detector and every threshold, with the default that the code has."""

import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parents[2]
ANALYSIS = TOP / "userspace" / "zsync" / "packet" / "analysis"


def table() -> str:
    page = (TOP / "docs" / "packet.md").read_text()
    return page.partition("## Analysis and alerts\n")[2].partition("\n## ")[0]


def test_every_threshold_is_there_with_its_default():
    source = (ANALYSIS / "detector_options.hpp").read_text()
    defaults = dict(re.findall(r"^    double (\w+) = ([\d.]+);", source, re.MULTILINE))
    assert len(defaults) == 19
    for name, value in defaults.items():
        assert re.search(rf"`{name}`\s\(?{re.escape(value)}\b", table()), (name, value)


def test_every_alert_is_there():
    source = (ANALYSIS / "alert.hpp").read_text()
    kinds = re.search(r"enum class AlertKind[^{]*{(.*?)}", source, re.DOTALL)[1]
    names = [name for name in re.findall(r"\w+", kinds) if name != "count"]
    assert len(names) == 13
    for name in names:
        assert f"| `{name}` |" in table(), name


def test_what_the_tap_hands_over_is_there():
    tap = dict(re.findall(r"#define ZSYNC_TAP_(\w+) (\d+)", (TOP / "bpf" / "zsync_tap.h").read_text()))
    for name in ("MERGED_BYTES", "HEAD_BYTES"):
        assert f"first {int(tap[name]):,} bytes" in table(), name
    assert f"first {tap['YOUNG_PACKETS']} of its flow" in table()
