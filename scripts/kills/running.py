"""Several cells in one job, each in a round of its own, an undisturbed one behind the last, and what became of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import say

from kills.cells import AT_A_SITE, COMMIT, COORDINATOR, SERVICE, Cell
from kills.checks import check
from kills.world import Seen, World

CELLS_A_JOB = 4
ROUNDS = CELLS_A_JOB
"""Training rounds: the measuring one is behind the last cell."""
_COMMANDS = {COORDINATOR: "rengo coordinator start", SERVICE: "rengo member start"}
"""What a person or a service manager does; everything else has to start again by itself."""

Event = Mapping[str, Any]


@dataclass(frozen=True)
class _Killed:
    """One kill. `at`: UTC seconds. `commands`: what was started again. `attempts`: how many more it took."""

    cell: Cell
    member: str
    round: int
    at: float
    commands: Sequence[str]
    attempts: int


def undisturbed(folder: Path) -> Seen:
    """The job that nobody disturbs, which the others are compared with. Raises Broken."""
    world = World(folder)
    try:
        world.start()
        world.end()
        check(world)
        return world.seen()
    finally:
        world.stop()


def run(folder: Path, cells: Sequence[Cell], reference: Seen) -> list[dict[str, Any]]:
    """One line of results for each of `cells`, a round each, up to the one that loses a member for its round: later
    adapters are others then. Raises Broken and Stuck."""
    world = World(folder)
    killed: list[_Killed] = []
    try:
        number = _arm(world, cells, 0)
        world.start()
        for index, cell in enumerate(cells):
            round, member = _place(world, index)
            at, attempt = world.kill(cell, number, member)
            say(f"{cell}: killed in round {round}")
            number = _arm(world, cells, index + 1)  # before the next round can begin
            through = round if index + 1 < len(cells) else round + 1
            restarts = world.attend(lambda: world.committed(through), f"round {through} after {cell}")  # noqa: B023
            commands = [_COMMANDS[cell.process]] if cell.process in _COMMANDS else []
            commands += [_COMMANDS[COORDINATOR]] * restarts
            killed.append(_Killed(cell, member, round, at, commands, world.attempt() - attempt))
            if any(_lost(world.events(), each) for each in range(round, through + 1)):
                break
        else:
            world.end()
        check(world)
        seen = world.seen()
    finally:
        left = world.stop()
    return [_line(one, seen, reference) | {"left_behind": left} for one in killed]


def _arm(world: World, cells: Sequence[Cell], index: int) -> int:
    """Let the hook wait for the cell at `index`, if there is one; the number of the kill."""
    return world.arm(cells[index], *_place(world, index)) if index < len(cells) else 0


def _place(world: World, index: int) -> tuple[int, str]:
    """The round of the cell at `index`, and the member whose processes are killed: another one each time."""
    return index + 1, world.names[index % len(world.names)]


def _lost(events: Sequence[Event], round: int) -> list[str]:
    """The members that are not in the sum of a round."""
    everyone = {event["member"] for event in events if event["event"] == "answered"}
    summed = [e["of"] for e in events if e["event"] == "kept" and (e["step"], e["round"]) == ("masked", round)]
    return sorted(everyone - set(summed[-1]))


def _line(one: _Killed, seen: Seen, reference: Seen) -> dict[str, Any]:
    cell, lost = one.cell, _lost(seen.events, one.round)
    whole = not any(_lost(seen.events, round) for round in seen.sums)
    after = [event for event in seen.events if event["at"] > one.at]
    answered, committed = ([e for e in after if e["event"] == name] for name in ("answered", "committed"))
    return {
        "step": cell.step,
        "process": cell.process,
        "when": cell.when,
        "round": one.round,
        "commands": list(one.commands),
        "seconds_to_next_event": _seconds(one.at, min(answered[0]["at"], committed[0]["at"])),
        "seconds_to_members_answer": _of_member(one, answered) if cell.process in AT_A_SITE else None,
        "seconds_to_round": _seconds(one.at, committed[0]["at"]),
        "seconds_undisturbed": _undisturbed_seconds(reference.events, cell, one.round),
        "further_attempts": one.attempts,
        "lost": lost,
        "killed_member": one.member if cell.process in AT_A_SITE else None,
        "same_sum": None if lost else seen.sums[one.round] == reference.sums[one.round],
        "final_adapter": seen.adapter,
        "same_final_adapter": seen.adapter == reference.adapter if seen.adapter and whole else None,
    }


def _of_member(one: _Killed, answered: Sequence[Event]) -> float | None:
    """Until the member's next answer has come to the round loop."""
    return next((_seconds(one.at, event["at"]) for event in answered if event["member"] == one.member), None)


def _undisturbed_seconds(events: Sequence[Event], cell: Cell, round: int) -> float:
    """The same way without a kill: from the asking of the step to the end of the round. A kill after a commit is seen
    against the next round, one before it against nothing."""
    if cell.step == COMMIT and cell.when == "before":
        return 0.0
    step, round = ("masked", round + 1) if cell.step == COMMIT else (cell.step, round)
    [asked] = [e["at"] for e in events if e["event"] == "asked" and (e["round"], e["step"]) == (round, step)]
    [committed] = [e["at"] for e in events if e["event"] == "committed" and e["round"] == round]
    return _seconds(asked, committed)


def _seconds(since: float, until: float) -> float:
    return float(f"{until - since:.1f}")
