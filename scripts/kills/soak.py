"""A longer job in which one process after another is killed, in every round one, at drawn moments."""

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.machine import say

from kills.cells import AT_A_SITE, COMMIT, SETUP, Cell, all_cells
from kills.checks import check
from kills.world import World

_AT_A_SITE_EVERY = 3
"""Rounds. A member that is lost by it is back before the next turn: of four members one can be lost at a time."""


def soak(folder: Path, rounds: int, seed: int) -> dict[str, Any]:
    """The job, with as many rounds as were prepared in `folder`: how often which process was killed, and what it cost.
    Raises Broken and Stuck."""
    drawn, killed, gave_up, started = random.Random(seed), Counter[str](), 0, time.monotonic()  # noqa: S311
    world = World(folder)
    try:
        cell, member, number = _armed(world, drawn, 1)
        world.start()
        for round in range(1, rounds + 1):
            world.kill(cell, number, member)
            killed[cell.process] += 1
            said = f"round {round}: {cell}"
            if round < rounds:  # nothing is killed while the final adapter is measured
                cell, member, number = _armed(world, drawn, round + 1)
            gave_up += world.attend(lambda: world.committed(round), said)  # noqa: B023
            say(f"{said}; {time.monotonic() - started:.0f} s")
        world.end()
        check(world)
        seen, attempts = world.seen(), world.attempt()
    finally:
        left = world.stop()
    counts = [event["count"] for event in seen.events if event["event"] == "committed"]
    return {
        "rounds": rounds,
        "seed": seed,
        "seconds": int(time.monotonic() - started),
        "killed": dict(sorted(killed.items())),
        "attempts": attempts,
        "starts_after_the_coordinator_gave_up": gave_up,
        "members_in_sums": dict(sorted(Counter(counts).items())),
        "released": seen.adapter is not None,
        "left_behind": left,
    }


def _armed(world: World, drawn: random.Random, round: int) -> tuple[Cell, str, int]:
    """A kill in this round: where, of which member, and its number."""
    at_a_site = round % _AT_A_SITE_EVERY == 0
    cells = [c for c in all_cells() if c.step not in (*SETUP, COMMIT) and (c.process in AT_A_SITE) == at_a_site]
    cell, member = drawn.choice(cells), world.names[round // _AT_A_SITE_EVERY % len(world.names)]
    return cell, member, world.arm(cell, round, member)
