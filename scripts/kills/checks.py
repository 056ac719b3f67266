"""What must hold in every job, whatever was killed: over the members' journals, the coordinator's store, and what the
hook saw leave the sites."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from kills.world import World


class Broken(Exception):
    """A promise of the protocol does not hold."""


def check(world: World) -> None:
    """Raises Broken."""
    events = world.events()
    said_once(event for event in events if event["event"] == "left" and event["kind"] != "refused")
    summed_once(events)
    for name in world.names:
        _journal_says_once(world, name)


def said_once(left: Iterable[Mapping[str, Any]]) -> None:
    """Nobody signs two things in one step and context; nobody reveals for two sums of a round, and all for the same."""
    said, opened = defaultdict(set), defaultdict(set)
    for event in left:
        said[event["member"], event["kind"], event["context"]].add(event["sha256"])
        if event["kind"] == "revealed":
            opened[event["round"]].add(event["context"])
    for statement, signed in said.items():
        _require(len(signed) == 1, f"{statement} was signed {len(signed)} times")
    for round, contexts in opened.items():
        _require(len(contexts) == 1, f"shares of {len(contexts)} sums of round {round} were revealed")


def summed_once(events: Iterable[Mapping[str, Any]]) -> None:
    """No vector is in a sum twice, and as many are counted as are in it."""
    members: dict[int, list[str]] = {}
    for event in events:
        if event["event"] == "kept" and event["step"] == "masked":
            members[event["round"]] = event["of"]
        elif event["event"] == "committed":
            summed = members[event["round"]]
            _require(len(set(summed)) == len(summed), f"a vector is twice in round {event['round']}: {summed}")
            _require(len(summed) == event["count"], f"{event['count']} counted, {summed} in round {event['round']}")


def _journal_says_once(world: World, name: str) -> None:
    """By the member's own record: one vector a set-up, one reveal an adapter, and nothing contradictory was asked."""
    with world.journal(name) as journal:
        rows = journal.sent()
        revealed = [row for row in rows if "revealed" in row.kinds.split()]
        rounds, adapters = {row.rounds.split()[0] for row in revealed}, journal.spent()
        vectors = {row.sha256 for row in rows if "masked" in row.kinds.split()}
        set_ups, evidence = journal.contributions(), journal.evidence()
    _require(len(vectors) <= set_ups, f"{name}: {len(vectors)} vectors under the masks of {set_ups} set-ups")
    # The measuring round spends the final adapter, too.
    _require(
        len(rounds) == len(adapters), f"{name}: revealed in rounds {sorted(rounds)}, {len(adapters)} adapters spent"
    )
    _require(not evidence, f"{name}: the coordinator contradicted itself: {[reason for reason, *_ in evidence]}")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)
