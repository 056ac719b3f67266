"""What rounds cost with a large adapter: the peak of memory of each process, and the seconds of each exchange.

Real members, real coordinator and store; members learn nothing (their learner adds noise). Over Flower every member is
a process with a node of its own, on loopback; in process all members are in one, and the coordinator in another.
Round 1 starts cold, the others have their set-up from the round before; the last one only measures.

    .venv/bin/python scripts/bench_large.py --carrier flower --members 5 --values 40000000
    .venv/bin/python scripts/bench_large.py --carrier in-process --members 30 --values 10000000
"""

import argparse
import contextlib
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks import large_job
from benchmarks.large_job import Large
from benchmarks.machine import emit, machine, say
from benchmarks.superlink import Door, node_key, superlink

from aggregator.carriers import Carrier, Exchange
from aggregator.rounds import Event, RoundDone, largest_answer, run
from aggregator.store import Store
from clients.node_process import door
from federation.socket_folder import SocketFolder

_SPAWN = multiprocessing.get_context("spawn")
_PROGRAMS = (
    ("flwr-serverapp", "relay at the coordinator"),
    ("flwr-clientapp", "relay at a member"),
    ("clients.relay.node", "node of a member"),
    ("flower-superexec", "node of a member"),
    ("flower-superlink", "SuperLink"),
    ("spawn_main", "member"),
)
"""What a command line says, and which of the processes it is."""


@dataclass
class Peaks:
    """The largest resident set (MB, kernel's VmHWM) of any process of a kind, and their PSS (MB) summed over all
    processes at the worst moment. Looked at several times a second: a process of a tenth of a second may be missed."""

    largest: dict[str, float] = field(default_factory=dict)
    together: float = 0.0
    _done: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._look()
            self._done.set()
            thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            self._look()

    def _look(self) -> None:
        together = 0.0
        for pid in _descendants():
            with contextlib.suppress(OSError, StopIteration):  # it has ended
                kind = _kind(pid)
                self.largest[kind] = max(self.largest.get(kind, 0.0), _status_mb(pid, "status", "VmHWM"))
                together += _status_mb(pid, "smaps_rollup", "Pss")
        self.together = max(self.together, together)


@dataclass
class Timed:
    """A carrier with a watch: seconds of each exchange, by round and step."""

    carrier: Carrier
    seconds: dict[str, float] = field(default_factory=dict)

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        started = time.perf_counter()
        yield from self.carrier.exchange(exchange, requests)
        took = time.perf_counter() - started
        self.seconds[f"{exchange.round} {exchange.step}"] = round(took, 1)
        say(f"round {exchange.round}, {exchange.step}: {took:.1f} s")


@dataclass
class Crowd:
    """A carrier to one process that holds all members."""

    pipe: Connection

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        for member in sorted(requests):
            self.pipe.send_bytes(member.encode())
            self.pipe.send_bytes(requests[member])
            yield member, self.pipe.recv_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--carrier", choices=("flower", "in-process"), default="in-process")
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--values", type=int, default=40_000_000)
    parser.add_argument("--ring-bits", type=int, choices=(16, 32), default=16)
    parser.add_argument("--rounds", type=int, default=2, help="that train; one more measures")
    args = parser.parse_args()
    facts = machine(threads=1, packages=("flwr", "cryptography", "numpy"))
    large = Large.make(args.members, args.values, args.ring_bits, args.rounds)
    peaks, rounds, before = Peaks(), list[float](), _status_mb(_own_pid(), "status", "VmRSS")

    def observe(event: Event) -> None:
        if isinstance(event, RoundDone):
            rounds.append(round(event.seconds, 1))

    with tempfile.TemporaryDirectory() as name, peaks.watching(), reached(args.carrier, large, Path(name)) as carrier:
        timed = Timed(carrier)
        store = Store(Path(name) / "store", large.plan.digest())
        run(large.job(), timed, store, observe)
        store.close()
    memory = {kind: round(mb) for kind, mb in sorted(peaks.largest.items())}
    result = {"machine": facts, **vars(args), "values": large.values, "seconds_of_rounds": rounds}
    result |= {"seconds_of_exchanges": timed.seconds, "coordinator_before_mb": round(before), "peak_mb": memory}
    emit({**result, "peak_of_all_mb": round(peaks.together)})


@contextmanager
def reached(carrier: str, large: Large, folder: Path) -> Iterator[Carrier]:
    """The members, running."""
    with crowd(large, folder) if carrier == "in-process" else sites(large, folder) as found:
        yield found


@contextmanager
def crowd(large: Large, folder: Path) -> Iterator[Carrier]:
    """All in one process."""
    here, there = _SPAWN.Pipe()
    process = _SPAWN.Process(target=large_job.serve_crowd, args=(large, large.plan.members, folder, there))
    process.start()
    there.close()
    try:
        here.recv_bytes()
        yield Crowd(here)
        here.send_bytes(b"")
    finally:
        here.close()
        process.join()


@contextmanager
def sites(large: Large, folder: Path) -> Iterator[Carrier]:
    """Each in a process of its own, behind Flower."""
    doors: dict[str, Door] = {}
    keys: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        for name in large.plan.members:
            sockets = SocketFolder()
            stack.callback(sockets.remove)
            (folder / name).mkdir()
            keys[name], doors[name] = node_key(folder / name), door(sockets.path)
            here, there = _SPAWN.Pipe()
            arguments = (large, name, folder / name, sockets.path, there)
            process = _SPAWN.Process(target=large_job.serve_site, args=arguments)
            process.start()
            there.close()
            stack.callback(process.join)
            stack.callback(here.close)
            here.recv_bytes()
        found, _ = stack.enter_context(superlink(folder, keys, doors.__getitem__, largest_answer(large.job())))
        yield found


def _descendants() -> list[int]:
    """This process and everything that it started."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found, ahead = list[int](), [_own_pid()]
    while ahead:
        pid = ahead.pop()
        found.append(pid)
        ahead += parents.get(pid, [])
    return found


def _own_pid() -> int:
    return int(Path("/proc/self/stat").read_text().split()[0])


def _kind(pid: int) -> str:
    if pid == _own_pid():
        return "coordinator"
    line = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    return next((kind for word, kind in _PROGRAMS if word in line), "other")


def _status_mb(pid: int, file: str, line: str) -> float:
    lines = Path(f"/proc/{pid}/{file}").read_text(errors="replace").splitlines()
    return next(int(found.split()[1]) for found in lines if found.startswith(f"{line}:")) / 1024


if __name__ == "__main__":
    main()
