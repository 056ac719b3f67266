"""Search every schedule of a small job for one that shows a member's vector. Ends with 1 and prints it if there is one.

    python scripts/check_model.py                        rounds 1 and 2, attempts 1 and 2, one restart: some minutes
    python scripts/check_model.py --rounds 1             a few seconds
    python scripts/check_model.py --adapters 2           the coordinator may tell members different adapters
    python scripts/check_model.py --without 2/2          all but round 2 of attempt 2

Four members, t = 3, one of them corrupt, and a malicious coordinator. What is searched, what is assumed and what came
out: docs/assurance.md.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

from message_order.alone import Alone
from message_order.together import Result, Search

from federation.secagg.history import Position


def check(folder: Path, positions: list[Position], adapters: int, restarts: int) -> tuple[dict[str, object], Result]:
    """(the figures, the result): the real member alone first, then three of its kind together."""
    started = time.process_time()
    table = Alone(folder, positions, adapters).explore()
    result = Search(table, positions, adapters, restarts).run()
    figures = {
        "rounds/attempts": [f"{round}/{attempt}" for attempt, round in positions],
        "adapters": adapters,
        "restarts": restarts,
        "member_states": len(table.states),
        "member_requests": table.asked,
        "member_refused": table.refused,
        **{f.name: getattr(result, f.name) for f in dataclasses.fields(result) if f.name != "schedule"},
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    return figures, result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, choices=(1, 2), default=2)
    parser.add_argument("--attempts", type=int, choices=(1, 2), default=2)
    parser.add_argument("--adapters", type=int, choices=(1, 2), default=1)
    parser.add_argument("--restarts", type=int, choices=(0, 1, 2, 3), default=1)
    parser.add_argument("--without", default="", metavar="ROUND/ATTEMPT")
    args = parser.parse_args()
    places = [(attempt, round) for attempt in range(1, args.attempts + 1) for round in range(1, args.rounds + 1)]
    positions = [(attempt, round) for attempt, round in places if f"{round}/{attempt}" != args.without]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:  # noqa: S108
        figures, result = check(Path(folder), positions, args.adapters, args.restarts)
    print(json.dumps(figures))
    for number, step in enumerate(result.schedule, start=1):
        print(f"{number:4} {step}")
    return 1 if result.broken else 0


if __name__ == "__main__":
    sys.exit(main())
