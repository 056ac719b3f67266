"""A child process with all its descendants: how long it takes, how much memory they hold together, and their end.

Descendants are known by a mark in their environment and not by their parents: Ray's daemons leave theirs. Memory is
PSS (proportional set size), in which a page that several share is counted once: a sum of RSS would count it for each.
"""

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MARK = "RENGO_BENCH_MARK"
PROC = Path("/proc")


class ChildFailed(Exception):
    """A measured command did not end well."""


@dataclass(frozen=True)
class Measured:
    """Wall time from start to exit, and the peak of the summed PSS, with the number of processes at that moment."""

    wall_s: float
    peak_mb: float
    processes: int


def measure(command: Sequence[str], environment: Mapping[str, str], log: Path, interval: float) -> Measured:
    """Run `command` to its end, its output into `log`. Raises ChildFailed; in any case none of its processes stays."""
    mark, peak, processes = uuid.uuid4().hex, 0, 0
    environment = {**os.environ, **environment, MARK: mark}
    with log.open("wb") as file:
        started = time.perf_counter()
        child = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            while True:
                held = [pss for pid in marked(mark) if (pss := pss_kib(pid)) is not None]
                if sum(held) > peak:
                    peak, processes = sum(held), len(held)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(interval)
                    break
            wall = time.perf_counter() - started
        finally:
            end(mark)
            child.wait()
    if child.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace")[-3000:]
        raise ChildFailed(f"{' '.join(command)} ended with {child.returncode}:\n{tail}")
    return Measured(round(wall, 2), round(peak / 1024, 1), processes)


def marked(mark: str) -> list[int]:
    """The processes that have `mark` in their environment."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended, or is somebody else's
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def pss_kib(pid: int) -> int | None:
    """The proportional set size of a process; None when it has ended meanwhile."""
    try:
        return parse_pss((PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None


def parse_pss(rollup: str) -> int | None:
    """`Pss:` of a smaps_rollup in KiB; not `Pss_Anon:` and its like."""
    values = (line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:"))
    return next(map(int, values), None)


def end(mark: str, patience: float = 5.0) -> None:
    """End what is left of the marked processes: politely, then for certain."""
    deadline = time.monotonic() + patience
    for sign in (signal.SIGTERM, signal.SIGKILL):
        while left := marked(mark):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sign)
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
