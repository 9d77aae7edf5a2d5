"""The example's sums are cksum's own."""

import os
import random
import subprocess


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=60)


def test_sums_equal_those_of_cksum(tmp_path):
    seeded = random.Random(7)
    for folder in range(20):
        place = tmp_path / f"folder {folder}" / "inner"
        place.mkdir(parents=True)
        for number in range(20):
            (place / f"file-{number}").write_bytes(seeded.randbytes(seeded.choice([0, 1, 100, 262144, 700000])))
    (tmp_path / "link").symlink_to("folder 0/inner/file-0")
    names = sorted(str(path) for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink())
    assert len(names) == 400
    expected = run("cksum", *names).stdout.splitlines()
    done = run("checksum_tree", str(tmp_path))
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.splitlines() == expected


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_summed(tmp_path):
    (tmp_path / "good").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    missing = run("checksum_tree", str(tmp_path / "nowhere"))
    assert missing.returncode == 1 and "nowhere: No such file" in missing.stderr
    done = run("checksum_tree", str(tmp_path))
    assert done.returncode == 0 and done.stdout == run("cksum", str(tmp_path / "good")).stdout


def test_words_that_are_missing_are_asked_for():
    done = run("checksum_tree")
    assert done.returncode == 2 and "usage" in done.stderr
