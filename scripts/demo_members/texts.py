"""Pages -> documents: long pages cut, and nothing said twice, neither by two documents nor by the base's own corpus."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from demo_members.pages import JAPANESE_SHARE, Line, japanese_share, without_empty_sections

SHORTEST, CUT_AT_HEADING, CUT_ANYWHERE = 400, 2_500, 5_000  # characters in a document
# What the base's corpus says too (found with --against); pinned here, so that a build does not need that corpus.
SAID_TO_THE_BASE = ("ASCII は American Standard Code for Information Interchange の略です。",)
SPAN = 40  # characters, blanks aside, that no two documents may share: stricter than 50 with blanks


class Document(NamedTuple):
    """What becomes one file."""

    slug: str
    lines: list[Line]

    @property
    def text(self) -> str:
        return "".join(("\n" if line.level else "") + line.text + "\n" for line in self.lines).lstrip("\n")


def cut(place: str, lines: list[Line]) -> Iterator[Document]:
    """One document for a page of ordinary length; numbered ones, cut at headings where possible, for a long page."""
    slug = re.sub(r"[^a-z0-9]+", "-", place.lower().replace("sect.", ""))
    lines = [line for line in lines if not line.text.startswith(SAID_TO_THE_BASE)]
    if sum(len(line.text) for line in lines) <= CUT_ANYWHERE:
        yield Document(slug, lines)
        return
    parts: list[list[Line]] = [[]]
    for line in lines:
        size = sum(len(earlier.text) for earlier in parts[-1])
        if size + len(line.text) > CUT_ANYWHERE or (line.level and size > CUT_AT_HEADING):
            parts.append([])
        parts[-1].append(line)
    yield from (Document(f"{slug}-{number:02}", part) for number, part in enumerate(parts, start=1))


def unsaid(documents: Sequence[Document], seen: set[bytes]) -> list[Document]:
    """What no earlier document says (`seen`: its spans; grows), if it is long and Japanese enough to be kept."""
    kept = []
    for document in documents:
        rest = Document(document.slug, without_seen_spans(document.lines, seen))
        mostly_new = len(rest.text) * 2 > len(document.text)
        if mostly_new and len(rest.text) >= SHORTEST and japanese_share(rest.text) >= JAPANESE_SHARE:
            kept.append(rest)
            seen.update(digest for digest, _ in spans(rest.lines))
    return kept


def without_seen_spans(lines: list[Line], seen: set[bytes]) -> list[Line]:
    """Drop the lines that make up a span seen before, until none is left (what is dropped brings others together)."""
    while repeated := {owner for digest, owner in spans(lines) if digest in seen}:
        lines = without_empty_sections([line for i, line in enumerate(lines) if i not in repeated])
    return lines


def spans(lines: list[Line]) -> Iterator[tuple[bytes, int]]:
    """Every run of SPAN characters, blanks aside, as a digest, with the number of the line that its middle is in."""
    squeezed = ["".join(line.text.split()) for line in lines]
    owners = [i for i, text in enumerate(squeezed) for _ in text]
    whole = "".join(squeezed)
    for start in range(len(whole) - SPAN + 1):
        digest = hashlib.blake2b(whole[start : start + SPAN].encode(), digest_size=8).digest()
        yield digest, owners[start + SPAN // 2]


def shared_with(documents: Sequence[Document], corpus: Path) -> list[str]:
    """The lines (slug: text) that share a span with the base's corpus, as `pretrain_demo_base.py` writes it."""
    parts = json.loads(corpus.read_bytes())["parts"].values()
    ours = {digest for document in documents for digest, _ in spans(document.lines)}
    lines = (text.split("\n") for part in parts for text in part["train"] + part["held_out"])
    theirs = {digest for text in lines for digest, _ in spans([Line(line) for line in text]) if digest in ours}
    return [
        f"{document.slug}: {document.lines[at].text}"
        for document in documents
        for at in sorted({owner for digest, owner in spans(document.lines) if digest in theirs})
    ]
