"""What reading a large sensor log costs, as members read it: in the parsing process, under its limits.

One JSON line for each of three logs, made here: seconds of computing, the largest address space and memory of that
process, and for comparison the seconds that pyarrow's CSV reader takes to make columns of the same bytes, and nothing
more.

    .venv/bin/python scripts/bench_logs.py --mb 50
"""

import argparse
import datetime
import io
import random
import resource
import tempfile
import time
from pathlib import Path

from benchmarks.machine import emit, machine
from pyarrow import csv as arrow_csv

from clients.ingest.content import Unusable
from clients.ingest.parser import Parser

LOGS = {"10 tags a second": (10, 1, 0.0), "10 tags a second, dirty": (10, 1, 0.04), "100 tags a minute": (100, 60, 0.0)}
"""(tags, seconds between readings, share of cells that are no numbers)"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mb", type=int, default=50, help="size of each log (default: 50)")
    args = parser.parse_args()
    for name, log in LOGS.items():
        data = _log(args.mb * 10**6, *log)
        line = {"bench": "logs", "log": name, "mb": round(len(data) / 1e6, 1), **_read(data), "pyarrow_s": _arrow(data)}
        emit(line | machine(1, ("numpy", "pyarrow")))


def _log(size: int, tags: int, step: int, dirty: float) -> bytes:
    chance = random.Random(1)  # noqa: S311  # test data
    cells = [
        ",".join(
            "Inp OutRange" if chance.random() < dirty else f"{180 + 10 * chance.random():.3f}" for _ in range(tags)
        )
        for _ in range(1000)
    ]
    at, rows = datetime.datetime(2026, 1, 1), ["日時," + ",".join(f"温度{tag}[℃]" for tag in range(tags))]
    length = 0
    while length < size:
        rows.append(f"{at:%Y/%m/%d %H:%M:%S},{cells[len(rows) % 1000]}")
        length += len(rows[-1]) + 2
        at += datetime.timedelta(seconds=step)
    return "\r\n".join([*rows, ""]).encode("cp932")


def _read(data: bytes) -> dict[str, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile() as file, Parser() as parser:
        file.write(data)
        file.flush()
        (part,) = parser.parts(file.fileno(), "log.csv")
        if isinstance(part.result, Unusable):
            raise SystemExit(part.result.reason)
        assert parser._process is not None  # noqa: S101  # it has just answered
        status = Path(f"/proc/{parser._process.pid}/status").read_text()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peaks = dict(line.split(":\t") for line in status.splitlines() if line.startswith(("VmPeak", "VmHWM")))
    mebibytes = {key: int(peak.split()[0]) // 1024 for key, peak in peaks.items()}
    found = {"seconds": round(seconds, 1), "characters": len(part.result.text)}
    return found | {"address_space_mib": mebibytes["VmPeak"], "memory_mib": mebibytes["VmHWM"]}


def _arrow(data: bytes) -> float:
    start = time.process_time()
    arrow_csv.read_csv(io.BytesIO(data), arrow_csv.ReadOptions(encoding="cp932", use_threads=False))
    return round(time.process_time() - start, 1)


if __name__ == "__main__":
    main()
