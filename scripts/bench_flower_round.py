"""Seconds that one exchange over Flower takes beyond the members' own work, and where they go.

A real SuperLink with TLS and node authentication, real nodes and the real relay on both sides; members answer at once,
so what is left is the way there and back. All on one machine: sites of their own start their processes side by side.

    .venv/bin/python scripts/bench_flower_round.py
    .venv/bin/python scripts/bench_flower_round.py --members 3 --bytes 10000000
"""

import argparse
import os
import socket
import ssl
import statistics
import struct
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

from benchmarks.machine import emit, machine, say
from benchmarks.superlink import node_key, superlink

from aggregator.carriers import Exchange
from aggregator.carriers.flower import Flower

DEADLINE = 600.0
STEADY = 3
"""Exchanges of a round whose set-up was carried by the round before."""


@dataclass(frozen=True)
class Visit:
    """One request at one member, in seconds since boot: when the relay's process began, when the request was there,
    when the answer left."""

    process: float
    received: float
    answered: float


@dataclass
class Member:
    """A service that answers at once, and its node."""

    folder: Path
    public_key: str
    listener: Listener
    visits: list[Visit] = field(default_factory=list)

    @classmethod
    def create(cls, folder: Path) -> "Member":
        """Keys, and a service that listens."""
        folder.mkdir()
        (folder / "service.key").write_bytes(secret := os.urandom(32))
        listener = Listener(str(folder / "member.sock"), family="AF_UNIX", authkey=secret)
        member = cls(folder, node_key(folder), listener)
        threading.Thread(target=member.serve, daemon=True).start()
        return member

    @property
    def door(self) -> tuple[Path, Path]:
        """Where its service listens, and the key."""
        return self.folder / "member.sock", self.folder / "service.key"

    def serve(self) -> None:
        """Each request is its own answer."""
        while True:
            with self.listener.accept() as relay:
                frame = relay.recv_bytes()
                process, received = began(peer(relay.fileno())), now()
                relay.send_bytes(frame)
                self.visits.append(Visit(process, received, now()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--exchanges", type=int, default=6, help="measured; one more before them is not")
    parser.add_argument("--bytes", type=int, default=1000, help="of a request, and of an answer")
    args = parser.parse_args()
    facts = machine(threads=1, packages=("flwr", "cryptography"))
    with (
        tempfile.TemporaryDirectory() as name,
        federation(Path(name), args.members, args.bytes) as (carrier, members, port),
    ):
        handshake = statistics.median(tls_handshake(port) for _ in range(20))
        result = measure(carrier, members, args.exchanges, bytes(args.bytes))
    emit({"machine": facts, **vars(args), **result, "tls_handshake_seconds": round(handshake, 4)})


@contextmanager
def federation(folder: Path, count: int, largest: int) -> Iterator[tuple[Flower, Mapping[str, Member], int]]:
    """A SuperLink and nodes that are all connected: the carrier, the members and the SuperLink's port."""
    members = {f"m{i}": Member.create(folder / f"m{i}") for i in range(count)}
    keys = {name: member.public_key for name, member in members.items()}
    try:
        with superlink(folder, keys, lambda name: members[name].door, largest) as (carrier, port):
            yield carrier, members, port
    finally:
        for member in members.values():
            member.listener.close()


def measure(carrier: Flower, members: Mapping[str, Member], count: int, frame: bytes) -> dict[str, Any]:
    """Means over members and exchanges, in seconds."""
    requests = dict.fromkeys(members, frame)
    dict(carrier.exchange(Exchange(0, "warm", DEADLINE), requests))
    seconds: list[float] = []
    parts: dict[str, list[float]] = {"until_the_app_starts": [], "the_app_starts": [], "back": []}
    used = cpu_by_program()
    for number in range(1, count + 1):
        asked = now()
        for member, _ in carrier.exchange(Exchange(number, "bench", DEADLINE), requests):
            visit, arrived = members[member].visits[-1], now()
            parts["until_the_app_starts"].append(visit.process - asked)
            parts["the_app_starts"].append(visit.received - visit.process)
            parts["back"].append(arrived - visit.answered)
        seconds.append(now() - asked)
        say(f"exchange {number}: {seconds[-1]:.1f} s")
    cpu = {name: round((after - used.get(name, 0.0)) / count, 2) for name, after in cpu_by_program().items()}
    mean = statistics.mean(seconds)
    return {
        "seconds_per_exchange": round(mean, 2),
        "slowest_exchange": round(max(seconds), 2),
        "seconds_per_steady_round": round(STEADY * mean, 1),
        "where_per_member": {name: round(statistics.mean(values), 2) for name, values in parts.items()},
        "cpu_seconds_per_exchange": cpu | {"total": round(sum(cpu.values()), 2)},
    }


def cpu_by_program() -> dict[str, float]:
    """CPU seconds so far of everything that this process has started, by what started it; ended children included."""
    children: dict[int, list[int]] = {}
    times, ticks = {}, os.sysconf("SC_CLK_TCK")
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            columns = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        pid = int(stat.parent.name)
        children.setdefault(int(columns[1]), []).append(pid)
        times[pid] = sum(map(int, columns[11:15])) / ticks

    def tree(pid: int) -> float:
        return times.get(pid, 0.0) + sum(tree(child) for child in children.get(pid, []))

    used = {"coordinator": 0.0, "members": 0.0}
    for pid in children.get(os.getpid(), []):
        used["coordinator" if "superlink" in command(pid) else "members"] += tree(pid)
    return used


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def began(pid: int) -> float:
    """When a process began, in seconds since boot."""
    columns = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(columns[19]) / os.sysconf("SC_CLK_TCK")


def peer(handle: int) -> int:
    """The process at the other end of a local socket."""
    with socket.socket(fileno=os.dup(handle)) as copy:
        credentials = copy.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def tls_handshake(port: int) -> float:
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    began_at = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as plain, trust.wrap_socket(plain):
        return time.perf_counter() - began_at


if __name__ == "__main__":
    main()
