"""A consortium of real programs in which processes are killed, each world from the same start: members have joined and
approved, and no round has begun. tests/e2e/sites.py sets it up, by command lines as people type them."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aggregator.simulate.table import DEMO_MEMBERS
from clients.journal import Journal
from kills.cells import COORDINATOR, NODE, RELAY, SERVICE, SUPERLINK, Cell
from tests.e2e.sites import PATIENCE, Consortium, Program, succeeds

MEMBERS = 4
"""t = 3, so one member can be lost."""
DEADLINES = ("deadlines.training=90", "deadlines.answer=90")
"""Seconds for one exchange: many times what one takes, and what a member costs that is connected and silent."""
_HOOK = Path(__file__).with_name("hook")
_AGAIN = 5
"""Starts of the coordinator, a second apart, before a cell counts as stuck."""


class Stuck(Exception):
    """The job did not go on."""


@dataclass(frozen=True)
class Seen:
    """One job from its first event to its end. `events`: what the hook noted. `sums`: round -> SHA-256 of the adapter
    after it and the sum that gave it, as the coordinator's store has them. `adapter`: of the released one, if any."""

    events: Sequence[Mapping[str, Any]]
    sums: Mapping[int, str]
    adapter: str | None


def documents(target: Path) -> Sequence[str]:
    """The first members of the demo, with five documents each; their names."""
    folders = sorted(DEMO_MEMBERS.iterdir())[:MEMBERS]
    for folder in folders:
        (target / folder.name).mkdir(parents=True)
        for document in sorted(file for file in folder.iterdir() if file.is_file())[:5]:
            shutil.copy(document, target / folder.name)
    return [folder.name for folder in folders]


def environment(hooks: Path) -> dict[str, str]:
    """Every Python process that gets it loads the hook, which notes in `hooks`."""
    paths = [str(_HOOK), *filter(None, [os.environ.get("PYTHONPATH", "")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "RENGO_KILLS": str(hooks), "OMP_NUM_THREADS": "1"}


def prepare(folder: Path, rounds: int) -> Path:
    """Everything up to the approvals, in `folder`/world, kept in `folder`/start; where the plan is."""
    world, hooks = folder / "world", folder / "hooks"
    world.mkdir(parents=True)
    hooks.mkdir()
    names = documents(folder / "data")
    made = Consortium(world, names, folder / "data", environment(hooks))
    try:
        made.create()
        made.serve()
        for name in names:
            assert made.join(name, made.token(name)).code == 0  # noqa: S101
        made.sign_roster()
        succeeds("coordinator", "stop", "--home", made.home)
        made.running[-1].process.wait(PATIENCE)
        plan = made.make_plan(f"rounds={rounds}", "seed=1", *DEADLINES)
        made.serve(plan).says(f"0 of {MEMBERS} members approved")
        for name in names:
            succeeds("member", "approve", "--home", world / name, "--yes", **made.environment)
        succeeds("coordinator", "stop", "--home", made.home)
        made.running[-1].process.wait(PATIENCE)
    finally:
        made.stop()
    shutil.copytree(world, folder / "start")
    return plan


@dataclass
class World:
    """One job of the consortium in `folder`, from its start."""

    folder: Path
    starts: int = 0
    _sites: dict[str, Program] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("world", "hooks"):
            shutil.rmtree(self.folder / name)
        shutil.copytree(self.folder / "start", self.folder / "world")
        self.hooks = self.folder / "hooks"
        self.hooks.mkdir()
        names = sorted(path.name for path in (self.folder / "data").iterdir())
        given = environment(self.hooks)
        self.consortium = Consortium(self.folder / "world", names, self.folder / "data", given)
        self.plan = self.consortium.folder / "plan.yaml"
        self._armed = 0

    @property
    def names(self) -> Sequence[str]:
        """The members."""
        return self.consortium.names

    def start(self) -> None:
        """Coordinator and members."""
        self._coordinator = self._coordinate()
        for name in self.names:
            self._take_part(name)

    def arm(self, cell: Cell, round: int, member: str) -> int:
        """From now on the hook stops at this moment; the number of the kill."""
        self._armed += 1
        armed = {"number": self._armed, "place": cell.place, "round": round, "step": cell.step, "member": member}
        part = self.hooks / "armed.part"
        part.write_text(json.dumps(armed), encoding="utf-8")
        part.replace(self.hooks / "armed")
        return self._armed

    def kill(self, cell: Cell, number: int, member: str) -> tuple[float, int]:
        """Wait for the moment, kill -9 the process and start again what does not start by itself: when that was (UTC
        seconds), and in which attempt of the job."""
        reached = self.hooks / f"reached-{number}"
        self.attend(reached.exists, f"{cell} is reached")
        pid = self._victim(cell, json.loads(reached.read_text(encoding="utf-8")), member)
        killed, attempt = time.time(), self.attempt()
        os.kill(pid, signal.SIGKILL)
        (self.hooks / f"go-{number}").touch()
        if cell.process == COORDINATOR:
            self._coordinator.process.wait()
            self._coordinator = self._coordinate()
        elif cell.process == SERVICE:
            self._sites[member].process.wait()
            self._take_part(member)
        return killed, attempt

    def attend(self, condition: Callable[[], object], what: str) -> int:
        """Wait until `condition` holds. A coordinator that ends meanwhile is started again, as a person would who reads
        its last line; how often that was."""
        starts, until = 0, time.monotonic() + 2 * PATIENCE
        while not condition():
            if time.monotonic() > until or starts == _AGAIN:
                raise Stuck(f"{what}: not within {2 * PATIENCE:.0f} s and {starts} starts of the coordinator")
            if self._coordinator.process.poll() not in (None, 0):
                starts += 1
                time.sleep(1)
                self._coordinator = self._coordinate()
            time.sleep(0.1)
        return starts

    def end(self) -> None:
        """Wait until the job is done."""
        self.attend(lambda: self._coordinator.process.poll() == 0, "the job is done")

    def stop(self) -> list[str]:
        """End everything; the command lines of processes that were left behind and had to be killed."""
        with contextlib.suppress(AssertionError):
            self.consortium.stop()
        until = time.monotonic() + 20
        while (left := list(self._processes())) and time.monotonic() < until:
            time.sleep(0.5)
        for pid, _ in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return [words for _, words in left]

    def events(self) -> list[dict[str, Any]]:
        """What the hook has noted until now."""
        path = self.hooks / "events"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def committed(self, round: int) -> bool:
        """Whether a round is durable."""
        return any(event["event"] == "committed" and event["round"] >= round for event in self.events())

    def attempt(self) -> int:
        """The number of the coordinator's last attempt."""
        return int(self._rows("SELECT attempt FROM job")[0][0])

    def seen(self) -> Seen:
        """What is there at the end."""
        sums = {round: json.loads(record)["sha256"] for round, record in self._rows("SELECT round, record FROM rounds")}
        weights = self.consortium.home / "jobs/trial/adapter/adapter_model.safetensors"
        adapter = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.exists() else None
        return Seen(self.events(), sums, adapter)

    @contextlib.contextmanager
    def journal(self, name: str) -> Iterator[Journal]:
        """A member's journal, which verifies as it opens."""
        with contextlib.closing(Journal.existing(self.consortium.site(name).file("journal.sqlite"))) as journal:
            yield journal

    def _rows(self, query: str) -> list[Any]:
        path = self.consortium.home / "jobs/trial/coordinator.sqlite"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()

    def _coordinate(self) -> Program:
        self.starts += 1
        log, home = self.consortium.folder / f"coordinator-{self.starts}.log", self.consortium.home
        given = self.consortium.environment
        program = Program.start(log, "coordinator", "start", self.plan, "--home", home, **given)
        self.consortium.running.append(program)
        return program

    def _take_part(self, name: str) -> None:
        self._sites[name] = self.consortium.start_member(name, RENGO_KILLS_MEMBER=name)

    def _victim(self, cell: Cell, reached: Mapping[str, Any], member: str) -> int:
        superlink = reached["superlink"]
        if cell.process == COORDINATOR:
            return self._coordinator.process.pid
        if cell.process == SUPERLINK:
            return int(superlink[0])
        if cell.process == RELAY:
            return self._one(lambda _, words: "flwr-serverapp" in words)
        if cell.process == SERVICE:
            return self._sites[member].process.pid
        if cell.process == NODE:
            mark = f"RENGO_KILLS_MEMBER={member}".encode()
            return self._one(lambda pid, words: "clients.relay.node" in words and mark in _environment_of(pid))
        return int(reached["pid"])

    def _one(self, wanted: Callable[[int, str], bool]) -> int:
        found = [pid for pid, words in self._processes() if wanted(pid, words)]
        if len(found) != 1:
            raise Stuck(f"{len(found)} processes where one is expected: {list(self._processes())}")
        return found[0]

    def _processes(self) -> Iterator[tuple[int, str]]:
        """Every process that got this world's environment, and its command line."""
        mark = f"RENGO_KILLS={self.hooks}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    yield int(process.name), (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


def _environment_of(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
