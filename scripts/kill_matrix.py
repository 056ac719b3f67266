"""kill -9 of each process of a real consortium at each step of the protocol, and what becomes of the job.

A coordinator, its SuperLink and relay, and four members with their services and nodes, all real programs on this
machine (the demo's base model and documents), run one small job once undisturbed. Then cell by cell one process is
killed at a moment of a step, which a hook chooses by the step's name (scripts/kills/hook). A job has room for four
cells, each in a round of its own, and an undisturbed round behind them.

After each job, over all journals, the coordinator's store and what left the sites: no vector is in a sum twice, nobody
signed two things in one context, nobody revealed for two sums of a round. Where one of these does not hold, the script
ends with it. Cells that stand in --out already are not run again, and what --work has is used again.

    PYTHONPATH=. nice -n 5 python scripts/kill_matrix.py
    PYTHONPATH=. python scripts/kill_matrix.py --cells 'masked x SuperNode, before'
    PYTHONPATH=. python scripts/kill_matrix.py --table      # docs/kills.md from the results
    PYTHONPATH=. python scripts/kill_matrix.py --soak 20    # one job, in each of its rounds a kill at a drawn moment
"""

import argparse
import dataclasses
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import emit, machine, say
from kills.cells import AT_A_SITE, SETUP, Cell, all_cells, cell_of
from kills.running import CELLS_A_JOB, ROUNDS, run, undisturbed
from kills.soak import soak
from kills.table import renewed
from kills.world import Seen, Stuck, prepare

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results" / "kill-matrix.jsonl"
DOC = ROOT / "docs" / "kills.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("outputs/kills"), help="what every job starts from")
    parser.add_argument("--out", type=Path, default=RESULTS, help="one JSON line a cell")
    parser.add_argument("--cells", nargs="+", help="only these")
    parser.add_argument("--soak", type=int, metavar="ROUNDS", help="one longer job instead; its line goes to stdout")
    parser.add_argument("--seed", type=int, default=1, help="of --soak")
    parser.add_argument("--table", action="store_true", help="write docs/kills.md and run nothing")
    args = parser.parse_args()
    if args.table:
        DOC.write_text(renewed(DOC.read_text(encoding="utf-8"), args.out), encoding="utf-8")
        return
    if args.soak:
        long_job(args.work.absolute() / f"soak-{args.soak}", args.soak, args.seed)
        return
    wanted = [cell for cell in all_cells() if not args.cells or str(cell) in args.cells]
    folder = args.work.absolute()
    reference = reference_in(folder)
    while pending := without(wanted, args.out):
        one_job(folder, chosen(pending), reference, args.out)


def long_job(folder: Path, rounds: int, seed: int) -> None:
    """`--soak`."""
    if not (folder / "start").exists():
        shutil.rmtree(folder, ignore_errors=True)
        prepare(folder, rounds)
    emit(soak(folder, rounds, seed) | {"machine": machine(threads=1, packages=("flwr",))})


def reference_in(folder: Path) -> Seen:
    """The undisturbed job, run once; before it, what every job starts from."""
    kept = folder / "undisturbed.json"
    if not kept.exists():
        shutil.rmtree(folder, ignore_errors=True)
        prepare(folder, ROUNDS)
        say("the job that nobody disturbs")
        kept.write_text(json.dumps(dataclasses.asdict(undisturbed(folder))), encoding="utf-8")
    plain = json.loads(kept.read_text(encoding="utf-8"))
    return Seen(plain["events"], {int(round): sum for round, sum in plain["sums"].items()}, plain["adapter"])


def without(cells: Sequence[Cell], results: Path) -> list[Cell]:
    """The cells of which there is no line yet."""
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    done = {cell_of(json.loads(line)) for line in lines}
    return [cell for cell in cells if cell not in done]


def chosen(pending: Sequence[Cell]) -> list[Cell]:
    """Those for the next job. Keys and shares are steps of their own in its first round alone. What is killed at a site
    may cost the member a round, and with it the comparison: it comes last."""
    first = pending[0]
    further = [cell for cell in pending[1:] if cell.step not in SETUP]
    servers = [cell for cell in further if cell.process not in AT_A_SITE]
    return [first, *servers[: CELLS_A_JOB - 2], *(cell for cell in further if cell.process in AT_A_SITE)][:CELLS_A_JOB]


def one_job(folder: Path, cells: Sequence[Cell], reference: Seen, results: Path) -> None:
    """Run one job and append its lines. A job that got stuck costs its first cell a line that says so, alone."""
    say(f"a job with {'; '.join(map(str, cells))}")
    load = os.getloadavg()[0]
    try:
        lines = run(folder, cells, reference)
    except Stuck as error:
        say(f"{error}; its logs are in {kept_logs(folder)}")
        if len(cells) > 1:
            for cell in cells:
                one_job(folder, [cell], reference, results)
            return
        lines = [dataclasses.asdict(cells[0]) | {"stuck": str(error)}]
    facts = machine(threads=1, packages=("flwr",)) | {"load": round(load, 2)}
    with results.open("a", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line | {"machine": facts}, ensure_ascii=False) + "\n")


def kept_logs(folder: Path) -> Path:
    """The world of a job that got stuck, under another name."""
    kept = folder / f"stuck-{len(list(folder.glob('stuck-*')))}"
    shutil.copytree(folder / "world", kept)
    return kept


if __name__ == "__main__":
    main()
