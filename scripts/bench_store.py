"""What a member's folder costs that does not fit into memory: the first reading, the second, tokens, and peak memory.

One JSON line. A folder of `--files` files of `--mb` MB together is made, half of them CP932, the share `--logs` of them
sensor logs. Each step is a process of its own: `read`, `again` (nothing changed), `prepare` (masking and cleaning, by
the default personal.toml), `prepare_again`, `one_changed` (both, after one file changed), `split` and `tokens`. Its
peak memory (the parsing process aside) and seconds of computing (it included) are told. `programs_mb` of the peak are
there before any document is. `--kill`: the first reading is killed in the middle and goes on.

    .venv/bin/python scripts/bench_store.py --kill
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import site_folder
from benchmarks.machine import emit, machine

STEPS = ("read", "again", "prepare", "prepare_again", "one_changed", "split", "tokens", "tokens_again")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--mb", type=float, default=200.0)
    parser.add_argument("--steps", nargs="*", choices=STEPS, default=STEPS)
    parser.add_argument("--logs", type=float, default=0.0, help="share of the files and bytes that are sensor logs")
    parser.add_argument("--at", type=Path, help="a folder to work in, which stays (default: one that goes)")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        print(json.dumps(_step(args.step[0], Path(args.step[1]))))
        return
    with tempfile.TemporaryDirectory() as name:
        work = args.at or Path(name)
        if not (work / "data").exists():
            site_folder.write(work / "data", args.files, args.mb, args.logs)
        files = [path for path in (work / "data").rglob("*") if path.is_file()]
        size = round(sum(path.stat().st_size for path in files) / 1e6, 1)
        line: dict[str, Any] = {"bench": "store", "files": len(files), "mb": size, "logs": args.logs}
        if args.kill:
            line["files_before_kill"] = _killed(work, args.files // 2)
        for step in args.steps:
            line[step] = _in_own_process(step, work)
        line["kept_mb"] = round(sum(f.stat().st_size for f in (work / "kept").rglob("*") if f.is_file()) / 1e6, 1)
    emit(line | machine(1, ("rensa",)))


def _command(step: str, work: Path) -> list[str]:
    return [sys.executable, __file__, "--step", step, str(work)]


def _in_own_process(step: str, work: Path) -> dict[str, float]:
    done = subprocess.run(_command(step, work), capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _killed(work: Path, after: int) -> int:
    """Kill a reading when about `after` files are in the store; how many were."""
    from clients.ingest import Texts

    process = subprocess.Popen(_command("read", work))
    count = 0
    while process.poll() is None and count < after:
        time.sleep(0.5)
        if (work / "kept" / "texts.sqlite").exists():
            with Texts(work / "kept" / "texts.sqlite") as texts:
                count = texts.count(work / "data")
    process.kill()
    process.wait()
    return count


def _step(step: str, work: Path) -> dict[str, float]:
    from clients.dataset import Source, corpus_of, parts_of
    from clients.ingest import Texts, read_folders
    from clients.ingest.personal.settings import DEFAULT_SETTINGS
    from clients.ingest.preparing import prepared
    from clients.token_cache import TokenCache
    from federation.plan import Evaluation

    evaluation = Evaluation(1, 512, 0.1, 0.1)
    if step == "one_changed":
        next((work / "data").rglob("*.txt")).write_text("主軸の軸受を点検する。" * 2000)
    if step.startswith("tokens"):
        from clients.loading import DEMO_BASE
        from clients.trainer import LocalTokenizer  # it brings torch along

        tokenizer = LocalTokenizer(DEMO_BASE)
    began, before = _seconds(), _peak()
    with Texts(work / "kept" / "texts.sqlite") as texts:
        reading = read_folders([work / "data"], texts)
        if step not in ("read", "again"):
            reading = prepared(reading, DEFAULT_SETTINGS).reading
        documents = len(reading.documents)
        if step in ("split", "tokens", "tokens_again"):
            parts = parts_of(reading, evaluation, work / "data")
        if step.startswith("tokens"):
            cache = TokenCache(work / "kept" / "tokens", "demo")
            source = Source("bench", work / "data")
            corpus_of(source, parts, tokenizer, 256, evaluation, cache.packed)
    seconds = round(_seconds() - began, 1)
    return {"seconds": seconds, "peak_mb": _peak(), "programs_mb": before, "documents": documents}


def _seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _peak() -> int:
    """MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
