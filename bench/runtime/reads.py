"""Random reads of 4 KiB: ours against fio's io_uring engine, the same file, the same depth, one after the other."""

import json
import os
import pathlib
import tempfile

import measure

OURS = "reads_zsync"
FILE_MIB, DEPTH, SECONDS, PAIRS = 256, 32, 1, 9
LEAST = 0.97
FIO = f"""
fio --name=reads --ioengine=io_uring --rw=randread --bs=4k --iodepth={DEPTH} --iodepth_batch={DEPTH}
--iodepth_batch_complete_min=1 --iodepth_batch_complete_max={DEPTH} --norandommap --randrepeat=0 --random_generator=lfsr
--gtod_reduce=1 --thread --time_based --runtime={SECONDS} --output-format=json --invalidate=0
""".split()


def fio(path: str, mode: str) -> float:
    words = [*FIO, f"--filename={path}", f"--direct={int(mode == 'direct')}"]
    return json.loads(measure.output(words, core=measure.SERVER_CORE))["jobs"][0]["read"]["iops"]


def ours(path: str, mode: str) -> float:
    words = [measure.program(OURS), path, str(DEPTH), str(SECONDS), mode]
    return float(measure.output(words, core=measure.SERVER_CORE))


def main() -> None:
    # Beside the build: /tmp may be a tmpfs, which is no disk.
    folder = pathlib.Path(measure.PROGRAMS).parent
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f"reads-{os.getpid()}-") as file:
        for _ in range(FILE_MIB):
            file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())
        for mode, where in (("buffered", "page cache"), ("direct", "disk, O_DIRECT")):
            pairs = [(fio(file.name, mode), ours(file.name, mode)) for _ in range(PAIRS)]
            theirs, mine = (measure.median(side) for side in zip(*pairs))
            ratio = measure.median(b / a for a, b in pairs)
            what = f"4 KiB random reads, depth {DEPTH}, {where}, peer fio io_uring"
            fields = {"what": what, "ours": mine, "peer": theirs, "unit": "reads/s", "ratio": ratio}
            print(json.dumps(fields | {"goal": f">= {LEAST}x", "reached": ratio >= LEAST}), flush=True)


if __name__ == "__main__":
    main()
