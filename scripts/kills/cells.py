"""Which process is killed at which moment, and what was seen then."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SETUP, ROUND = ("keys", "shares"), ("masked", "agreed", "revealed")
COMMIT = "commit"
STEPS = (*SETUP, *ROUND, COMMIT)
"""In a round that starts cold; otherwise keys and shares ride on agreed and revealed."""

COORDINATOR, SUPERLINK, RELAY = "coordinator", "SuperLink", "server relay"
APP, SERVICE, NODE = "client relay", "member service", "SuperNode"
_AT_THE_COORDINATOR, AT_A_SITE = (COORDINATOR, SUPERLINK, RELAY), (APP, SERVICE, NODE)
PROCESSES = (*_AT_THE_COORDINATOR, *AT_A_SITE)

_PLACES = {
    COORDINATOR: ("loop", ("before", "after")),
    SUPERLINK: ("loop", ("before", "within")),
    RELAY: ("loop", ("before", "within")),
    APP: ("app", ("before", "after")),
    SERVICE: ("service", ("before", "after")),
    NODE: ("app", ("before", "after")),
}
"""Where the hook stops for each process, and its moments there. In the round loop: before, no request has left; within,
the first answer is in; after, all answers are in and not on disk. At a site: before, the request is there; after, its
answer is, and has not left."""


@dataclass(frozen=True)
class Cell:
    """`process` is killed at `step`, `when` it is at that moment."""

    step: str
    process: str
    when: str

    @property
    def place(self) -> tuple[str, str]:
        """Where the hook stops."""
        # Nobody at a site does anything at a commit: all that is killed then is idle.
        return ("loop" if self.step == COMMIT else _PLACES[self.process][0]), self.when

    def __str__(self) -> str:
        return f"{self.step} x {self.process}, {self.when}"


def all_cells() -> Iterator[Cell]:
    """Moment by moment, and in each first what is not at a site."""
    for moment in (0, 1):
        for processes in (_AT_THE_COORDINATOR, AT_A_SITE):
            for step in STEPS:
                yield from (cell for process in processes for cell in _cells(step, process, moment))


def _cells(step: str, process: str, moment: int) -> Iterator[Cell]:
    if step != COMMIT:
        yield Cell(step, process, _PLACES[process][1][moment])
    elif process == COORDINATOR:
        yield Cell(step, process, ("before", "after")[moment])
    elif moment == 0 and process != APP:  # of which there is none then
        yield Cell(step, process, "before")


def cell_of(line: Mapping[str, Any]) -> Cell:
    """The cell that a line of results is of."""
    return Cell(line["step"], line["process"], line["when"])
