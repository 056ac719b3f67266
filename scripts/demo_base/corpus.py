"""Paragraphs -> a clean corpus, a training and a held-out part for each source.

Kept: paragraphs that are at least 30 % Japanese, once each. Removed: whatever shares a span with the demo members'
documents, since the demo measures what a base learns from texts that it has not seen.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from clients.dataset import split
from clients.ingest import Document, read_documents

JAPANESE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff々]")
JAPANESE_SHARE = 0.3
SPAN = 40  # characters, blanks aside: stricter than 50 with blanks, of which Japanese text has few
SHORTEST, LONGEST = 60, 4_000  # characters in a document; longer pages are cut between paragraphs
HELD_OUT_SHARE = 0.02
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffd\u200b\ufeff\ue000-\uf8ff]")


@dataclass(frozen=True)
class Part:
    """One source's documents, and what cleaning took away (characters)."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    raw: int
    repeated: int
    shared_with_members: int
    shared_paragraphs: int


Corpus = dict[str, Part]


def build(sources: Iterable[tuple[str, list[list[str]]]], members: Sequence[str]) -> Corpus:
    """Clean all sources, in their order: a paragraph stays where it comes first."""
    forbidden = {span for text in members for span in spans(squeezed(text))}
    seen: set[str] = set()
    return {name: _part(name, documents, seen, forbidden) for name, documents in sources}


def _part(name: str, documents: list[list[str]], seen: set[str], forbidden: set[str]) -> Part:
    raw = repeated = shared = paragraphs = 0
    kept: list[Document] = []
    for document in documents:
        japanese = [text for text in (CONTROL.sub("", line).strip() for line in document) if is_japanese(text)]
        fresh = _unseen(japanese, seen)
        allowed = without_spans(fresh, forbidden)
        raw += sum(map(len, japanese))
        repeated += sum(map(len, japanese)) - sum(map(len, fresh))
        shared += sum(map(len, fresh)) - sum(map(len, allowed))
        paragraphs += len(fresh) - len(allowed)
        kept += [Document(name, text) for text in cut(allowed) if len(text) >= SHORTEST]
    train, held_out = split(kept, HELD_OUT_SHARE, Path(name))
    texts = [tuple(document.text for document in part) for part in (train, held_out)]
    return Part(texts[0], texts[1], raw, repeated, shared, paragraphs)


def is_japanese(text: str) -> bool:
    """At least JAPANESE_SHARE of the characters, blanks aside, are kana or kanji."""
    return len(JAPANESE.findall(text)) >= max(1, JAPANESE_SHARE * len("".join(text.split())))


def squeezed(text: str) -> str:
    """Without blanks, so that wrapping and indentation hide no likeness."""
    return "".join(text.split())


def spans(text: str) -> Iterator[str]:
    """Every run of SPAN characters."""
    return (text[at : at + SPAN] for at in range(len(text) - SPAN + 1))


def without_spans(lines: list[str], forbidden: set[str]) -> list[str]:
    """Drop every line that a forbidden span touches, until none is left (what is dropped brings others together)."""
    while True:
        owners = [number for number, line in enumerate(lines) for _ in squeezed(line)]
        whole = "".join(map(squeezed, lines))
        starts = [at for at, span in enumerate(spans(whole)) if span in forbidden]
        touched = {owner for at in starts for owner in owners[at : at + SPAN]}
        if not touched:
            return lines
        lines = [line for number, line in enumerate(lines) if number not in touched]


def cut(lines: list[str]) -> Iterator[str]:
    """The document's text, or several, none much longer than LONGEST."""
    part: list[str] = []
    for line in lines:
        if part and sum(map(len, part)) + len(line) > LONGEST:
            yield "\n".join(part) + "\n"
            part = []
        part.append(line)
    if part:
        yield "\n".join(part) + "\n"


def members_texts(folder: Path) -> list[str]:
    """Every text of the demo's members. Raises ValueError if one cannot be read: it could not be kept apart."""
    reading = read_documents(folder)
    unread = [entry for entry in reading.set_aside if not entry.reason.startswith("the same text")]
    if unread:
        raise ValueError(f"{unread[0].name} of the members: {unread[0].reason}")
    return [document.text for document in reading.documents]


def digest(texts: Iterable[str]) -> str:
    """SHA-256 (hex) over texts, in their order."""
    state = hashlib.sha256()
    for text in texts:
        state.update(f"{len(text)}\0{text}".encode())
    return state.hexdigest()


def save(corpus: Corpus, members: str, path: Path) -> None:
    """Write the corpus, and the digest of the members' text that it was kept apart from."""
    content = {"members": members, "parts": {name: asdict(part) for name, part in corpus.items()}}
    replaced(path, json.dumps(content, ensure_ascii=False).encode())


def load(path: Path) -> tuple[Corpus, str]:
    """What `save` wrote."""
    content = json.loads(path.read_bytes())
    parts = {}
    for name, part in content["parts"].items():
        train, held_out = (tuple(part.pop(key)) for key in ("train", "held_out"))
        parts[name] = Part(train, held_out, **part)
    return parts, content["members"]


def replaced(path: Path, content: bytes) -> None:
    """Write the file whole or not at all, also if the machine stops meanwhile."""
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)


def _unseen(lines: list[str], seen: set[str]) -> list[str]:
    fresh = []
    for line in lines:
        key = squeezed(line)
        if key not in seen:
            seen.add(key)
            fresh.append(line)
    return fresh
