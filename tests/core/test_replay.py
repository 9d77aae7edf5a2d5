"""A seed makes the same decisions in every process: what fails under it fails again by `./dev fuzz --seed N`."""

import json
import os
import subprocess

TEST = "Simulation.echo_loses_nothing_whatever_the_ring_does"


def digest(seed: int, folder) -> str:
    found = folder / "found.json"
    subprocess.run(
        ["core_test", f"--gtest_filter={TEST}", f"--gtest_output=json:{found}"],
        env=os.environ | {"ZSYNC_SEED": str(seed)}, check=True, timeout=60, capture_output=True,
    )  # fmt: skip
    return json.loads(found.read_text())["testsuites"][0]["testsuite"][0]["digest"]


def test_a_seed_is_replayed_by_another_process(tmp_path):
    seen = [digest(seed, tmp_path) for seed in (4, 7)]
    assert seen[0] != seen[1]
    for _ in range(3):
        assert [digest(seed, tmp_path) for seed in (4, 7)] == seen
