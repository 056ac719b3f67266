"""What one secure aggregation costs a client and the coordinator as the members become more, with neighbourhoods
(`threat=semi_malicious`) or without. One JSON line for each number of members; `--plot` draws such lines.

All five steps with the real machines, from frame to frame, as in bench_secagg. All members take part, one after the
other in this process; `client_cpu_s` is the median of those that stay to the end. The coordinator is a process of its
own: its CPU seconds, and its peak of memory beyond what it held before the first Offer. As many members fall silent
once their shares are dealt as `--dropout-rate` says. The sum is compared with that of the vectors.

    .venv/bin/python scripts/bench_scale.py --members 30 100 300 1000 >> lines.jsonl
    .venv/bin/python scripts/bench_scale.py --members 30 100 300 --threat malicious >> lines.jsonl
    .venv/bin/python scripts/bench_scale.py --plot docs/images/scale.png lines.jsonl
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from benchmarks.aggregation import Members, Meter
from benchmarks.machine import emit, machine, say
from benchmarks.remote import aggregate

from federation.plan import least_quorum
from federation.secagg.graph import Parameters, parameters

PANELS = (
    ("client_cpu_s", "client, CPU seconds"),
    ("bytes_per_member", "bytes a member beside its vector"),
    ("coordinator_cpu_s", "coordinator, CPU seconds"),
    ("coordinator_peak_mb", "coordinator, peak MB"),
)


def main() -> None:
    args = arguments()
    if args.plot:
        lines = [json.loads(line) for path in args.lines for line in path.read_text(encoding="utf-8").splitlines()]
        plot(lines, args.plot)
        return
    for count in args.members:
        emit(measure(count, args))


def measure(count: int, args: argparse.Namespace) -> dict[str, Any]:
    """The line of this many members."""
    found = parameters(count, args.corruption_rate, args.dropout_rate)
    if found is None:
        raise SystemExit(f"bench_scale: {count} members are too few for neighbourhoods at these rates")
    sparse = found if args.threat == "semi_malicious" else None
    meter, started = Meter(), time.perf_counter()
    members = Members(args.values, count, args.ring_bits, 1, meter, sparse)
    staying = members.names[: count - found.lost]
    spent = aggregate(members, staying)
    say(f"{count} members: {time.perf_counter() - started:.0f} s of wall time")
    vector = args.values * args.ring_bits // 8
    return {
        "threat": args.threat,
        "members": count,
        "values": args.values,
        "ring_bits": args.ring_bits,
        "dropped": found.lost,
        **graph(count, sparse),
        "client_cpu_s": round(statistics.median(meter.seconds[name] for name in staying), 4),
        "coordinator_cpu_s": round(spent.cpu_s, 3),
        "coordinator_peak_mb": round(spent.peak_mb, 1),
        "bytes_per_member": round(statistics.median(meter.bytes[name] for name in staying)) - vector,
        "machine": machine(1, packages=("cryptography", "numpy")),
    }


def graph(count: int, sparse: Parameters | None) -> dict[str, Any]:
    """What was computed, or everybody with everybody."""
    if sparse is None:
        return {"degree": count - 1, "threshold": least_quorum(count)}
    logs = {"log2_not_private": log2(sparse.not_private), "log2_not_complete": log2(sparse.not_complete)}
    return {"degree": sparse.degree, "threshold": sparse.threshold, "corrupt": sparse.corrupt, **logs}


def log2(probability: Fraction) -> float | None:
    """None for zero."""
    if not probability:
        return None
    return round(math.log2(probability.numerator) - math.log2(probability.denominator), 1)


def plot(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """Four panels over the number of members, one curve a threat."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.5), layout="constrained")
    for axes, (field, label) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        for threat, marker in (("semi_malicious", "o"), ("malicious", "s")):
            points = sorted((line["members"], line[field]) for line in lines if line["threat"] == threat)
            axes.plot(*zip(*points, strict=True), marker=marker, label=threat)
        axes.set(xscale="log", yscale="log", xlabel="members", ylabel=label)
        axes.grid(which="both", alpha=0.3)
        axes.legend()
    figure.suptitle(f"One round of secure aggregation, {lines[0]['values']:,} values")
    figure.savefig(path, dpi=110)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, nargs="+", default=[30, 100, 300, 1000])
    parser.add_argument("--values", type=int, default=100_000)
    parser.add_argument("--ring-bits", type=int, choices=(16, 32), default=32)
    parser.add_argument("--threat", choices=("semi_malicious", "malicious"), default="semi_malicious")
    parser.add_argument("--corruption-rate", type=float, default=0.05)
    parser.add_argument("--dropout-rate", type=float, default=0.05)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw these lines instead of measuring")
    parser.add_argument("lines", type=Path, nargs="*")
    return parser.parse_args()


if __name__ == "__main__":
    main()
