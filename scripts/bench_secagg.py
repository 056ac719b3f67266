"""What one secure aggregation costs a client and the coordinator, against the least that its masks cost, and Flower's.

All five steps with the real machines, from frame to frame: quantising, hashes, key agreement, signatures, shares,
masks. Not in it: training, the adapter on its way down, journals and stores. CPU seconds of all threads; a client's are
the median over the members that stay to the end. `dropped` members fall silent once their shares are dealt.

The limit is AES-256-CTR and the addition of its keystream, piece by piece in the cache, for as many masks as the client
puts on or the coordinator takes off; measured after each vector of the same run, median.

Flower's figures are of its own SecAgg+ code (flwr.common.secure_aggregation) on the same number of values, members and
bits, with every member the neighbour of every other; null, with a note on stderr, where flwr is not installed.
Memory is the peak of this process before Flower's turn: clients take turns in it, so it holds one client beside the
coordinator.

    .venv/bin/pip install -c constraints.txt -e '.[flower]'
    .venv/bin/python scripts/bench_secagg.py --values 10000000 --members 30 --dropped 3 --ring-bits 32
"""

import argparse
import importlib
import importlib.util
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.aggregation import Costs, Table
from benchmarks.machine import emit, say
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from federation.plan import least_quorum

PIECE = 128 * 1024
STATUS = Path("/proc/self/status")


class Limit:
    """The least that a mask of `values` words of `bits` bits costs: its keystream, and adding it."""

    def __init__(self, values: int, bits: int) -> None:
        self._pieces, self._rest = divmod(values * bits // 8, PIECE)
        self._zeros, self._buffer = bytes(PIECE), bytearray(PIECE + 15)
        self._keystream = np.frombuffer(self._buffer, f"<u{bits // 8}", PIECE * 8 // bits)
        self._words = np.zeros_like(self._keystream)
        self.measured: list[float] = []

    def measure(self) -> None:
        """One mask."""
        started = time.process_time()
        stream = Cipher(algorithms.AES256(os.urandom(32)), modes.CTR(bytes(16))).encryptor()
        for _ in range(self._pieces):
            stream.update_into(self._zeros, self._buffer)
            np.add(self._words, self._keystream, out=self._words)
        stream.update_into(memoryview(self._zeros)[: self._rest], self._buffer)
        count = self._rest // self._words.itemsize
        np.add(self._words[:count], self._keystream[:count], out=self._words[:count])
        self.measured.append(time.process_time() - started)

    @property
    def seconds(self) -> float:
        """CPU seconds a mask."""
        return statistics.median(self.measured)


def main() -> None:
    args = arguments()
    limit = Limit(args.values, args.ring_bits)
    started = time.perf_counter()
    costs = Table(args.values, args.members, args.dropped, args.ring_bits, args.threads).aggregate(limit.measure)
    say(f"{args.members} clients and the coordinator: {time.perf_counter() - started:.1f} s of wall time")
    memory = peak_rss_mb()
    emit(result(args, costs, limit, memory, flower(args)))


def flower(args: argparse.Namespace) -> tuple[float | None, float | None]:
    """CPU seconds of Flower's client and coordinator, or nothing without Flower."""
    if importlib.util.find_spec("flwr") is None:
        say("flwr is not installed (pip install -e '.[flower]'): Flower's figures are null")
        return None, None
    secagg_plus = importlib.import_module("bench_flower.secagg_plus")
    client, coordinator = secagg_plus.measure(args.values, args.members, args.dropped, args.ring_bits)
    return client, coordinator


def result(
    args: argparse.Namespace, costs: Costs, limit: Limit, memory: float, flower: tuple[float | None, float | None]
) -> dict[str, Any]:
    """The line."""
    line: dict[str, Any] = {"values": args.values, "members": args.members, "dropped": args.dropped}
    line |= {"ring_bits": args.ring_bits}
    line |= {"client_cpu_s": statistics.median(costs.clients), "client_limit_cpu_s": limit.seconds * args.members}
    line |= {"coordinator_cpu_s": costs.coordinator, "coordinator_limit_cpu_s": limit.seconds * costs.masks}
    line |= {"flower_client_cpu_s": flower[0], "flower_coordinator_cpu_s": flower[1]}
    line = {name: round(figure, 4) if isinstance(figure, float) else figure for name, figure in line.items()}
    line["bytes_per_value"] = costs.vector_bytes / args.values
    line["overhead_bytes_per_member"] = costs.other_bytes
    return line | {"peak_rss_mb": round(memory, 1)}


def peak_rss_mb() -> float:
    """The most memory that this process ever held. Linux."""
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=int, default=1_000_000, help="values in a member's vector")
    parser.add_argument("--members", type=int, default=30)
    parser.add_argument("--dropped", type=int, default=0, help="members that send no vector")
    parser.add_argument("--ring-bits", type=int, choices=(16, 32), default=32)
    parser.add_argument(
        "--threads", type=int, default=1, help="for masks, on both sides; CPU seconds are of all of them"
    )
    args = parser.parse_args()
    if args.members - args.dropped < least_quorum(args.members):
        parser.error(f"of {args.members} members at most {args.members - least_quorum(args.members)} may be dropped")
    return args


if __name__ == "__main__":
    main()
