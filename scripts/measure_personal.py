"""How much of the personal and secret data in a labelled set is found, and how much of what is found is any.

    python scripts/measure_personal.py [FOLDER]

Prints the table of docs/ingest.md, or what is found in a folder of documents. The set is tests/personal: documents of
a factory with made persons and numbers, in which ⟦kind:text⟧ marks what has to be found. The rules were mended on
`tuned`; `fresh` was written afterwards, and nothing was mended on it. Found is what is covered whole, by a find of
whatever kind; right is a find that touches something marked.
"""

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clients.ingest.personal.kinds import KINDS
from clients.ingest.personal.redact import find
from clients.ingest.personal.settings import DEFAULT_SETTINGS
from clients.ingest.preparing import prepared_documents

SET = Path(__file__).resolve().parents[1] / "tests" / "personal"
PARTS = ("tuned", "fresh")
_MARKED = re.compile(r"⟦(\w+):(.*?)⟧", re.DOTALL)


@dataclass(frozen=True)
class Labelled:
    """A document without its marks, and (kind, start, end) of each."""

    name: str
    text: str
    marked: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Measured:
    """Of one kind: how many are marked, and `found` of these; how many `finds` there were, and `right` of these."""

    marked: int
    found: int
    finds: int
    right: int

    def cells(self) -> str:
        """As in the table."""
        return f"{self.found} of {self.marked} | {self.right} of {self.finds}"


def labelled(part: str) -> list[Labelled]:
    """One part of the set, by name."""
    return [_read(file) for file in sorted((SET / part).iterdir())]


def measured(documents: Sequence[Labelled]) -> dict[str, Measured]:
    """By kind."""
    marked, found, finds, right = (Counter[str]() for _ in range(4))
    for document in documents:
        here = find(document.text, DEFAULT_SETTINGS)
        covered = {place for each in here for place in range(each.start, each.end)}
        for kind, start, end in document.marked:
            marked[kind] += 1
            found[kind] += covered.issuperset(range(start, end))
        for each in here:
            finds[each.kind] += 1
            right[each.kind] += any(start < each.end and each.start < end for _, start, end in document.marked)
    return {kind: Measured(marked[kind], found[kind], finds[kind], right[kind]) for kind in KINDS}


def table(parts: Mapping[str, Mapping[str, Measured]]) -> str:
    """As in docs/ingest.md."""
    rows = [
        "| kind | found, tuned | right, tuned | found, fresh | right, fresh |",
        "|---|---:|---:|---:|---:|",
    ]
    for kind in KINDS:
        if any(part[kind].marked for part in parts.values()):
            rows.append(f"| {KINDS[kind].en} | " + " | ".join(part[kind].cells() for part in parts.values()) + " |")
    return "\n".join(rows)


def _read(file: Path) -> Labelled:
    raw = file.read_text(encoding="utf-8")
    pieces, marked, length, place = list[str](), list[tuple[str, int, int]](), 0, 0
    for mark in _MARKED.finditer(raw):
        before = raw[place : mark.start()]
        start = length + len(before)
        marked.append((mark[1], start, start + len(mark[2])))
        pieces += before, mark[2]
        length, place = start + len(mark[2]), mark.end()
    return Labelled(f"{file.parent.name}/{file.name}", "".join([*pieces, raw[place:]]), tuple(marked))


if __name__ == "__main__":
    if sys.argv[1:]:
        reading = prepared_documents(Path(sys.argv[1]), personal=DEFAULT_SETTINGS).reading
        print(sum(document.as_read.characters for document in reading.documents), "characters")
        print("\n".join([reading.cleaning.text("en"), *(each.text("en") for each in reading.redactions)]))
    else:
        print(table({part: measured(labelled(part)) for part in PARTS}))
