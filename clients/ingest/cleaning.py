"""Documents -> documents in usual characters, without what many of them repeat; one of those that are nearly the same.

Each step takes only what is worth nothing: docs/ingest.md says what that is, and the tests hold it against examples of
what has to stay.
"""

import hashlib
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clients.ingest.content import LeftOut
from clients.ingest.forms import usual_forms
from clients.ingest.pace import Progress, followed, untold
from clients.ingest.selection import Document, Documents, SetAside
from clients.similarity import Sketches, sketch

_FEWEST = 5
"""Documents that a paragraph has to be in before it counts as boilerplate."""
_KEPT = 3
"""Documents that keep it."""
_SHORTEST = 40
"""Characters of it: shorter lines are headings, steps and labels."""
_STEP = re.compile(
    r"\s*(?:[0-9０-９]{1,3}[.)．）、:：\s]|[(（][0-9０-９a-zア-ン]{1,3}[)）]|[①-⑳㈠-㈩]|[・•●○■□▪◆※*-]|手順|STEP)"
)
_VALUE = re.compile(r"[0-9０-９]")
_TABULAR = frozenset({"sensor log", "event log", "table", "xlsx"})

NEARLY_THE_SAME = 0.9
"""Of two documents' sets of 5-grams (Jaccard); below it lie revisions, which are both trained on."""
_NUMBER = re.compile(r"[0-9０-９]+(?:[.,．，][0-9０-９]+)*")
_BUCKETS = 64
_LINE = np.dtype([("number", "<u4"), ("paragraph", "<u8")])
_AT_ONCE = 2**22  # paragraphs that are counted in memory


def in_usual_forms(documents: Iterable[Document]) -> tuple[Documents, int]:
    """Every document, and how many characters were changed in all."""
    changed, count = list[Document](), 0
    for document in documents:
        usual, said = document.changed("usual forms", _in_usual_forms)
        changed.append(usual)
        count += int(said)
    return tuple(changed), count


def without_boilerplate(documents: Documents, tell: Callable[[Progress], None] = untold) -> tuple[Documents, int, int]:
    """Documents without the paragraphs that at least five of them share, which the first three keep; how many were
    removed, and their characters.

    A paragraph is a line of 40 characters or more. A line with a digit or in a table is a value, a line that is a step
    or beside one is an instruction: those stay in every document.
    """
    repeated = _repeated(documents, tell)
    kept = Counter[int]()
    left, count, characters = list[Document](), 0, 0
    for document in documents:
        removable = _removable(document)
        here = removable[np.isin(removable["paragraph"], repeated)]
        gone = [int(number) for number, paragraph in here.tolist() if kept[paragraph] >= _KEPT]
        kept.update(set(here["paragraph"].tolist()))
        if not gone:
            left.append(document)
            continue
        shorter, said = document.changed("boilerplate", partial(_without_lines, gone=frozenset(gone)), repr(gone))
        removed = LeftOut(len(gone), "repeated paragraphs", "繰り返しの定型文（段落）")
        if shorter is document:  # everything would go
            left.append(document)
            continue
        count, characters = count + len(gone), characters + int(said)
        left.append(replace(shorter, left_out=(*document.left_out, removed)))
    return tuple(left), count, characters


def without_near_duplicates(
    documents: Documents, tell: Callable[[Progress], None] = untold
) -> tuple[Documents, tuple[SetAside, ...]]:
    """Documents without those that are nearly the same as another and say no number that it does not say; the longer
    one is kept, of equally long ones the first by hash. So no measured or set value is lost."""
    order = sorted(
        range(len(documents)), key=lambda index: (-documents[index].as_read.characters, documents[index].as_read.sha256)
    )
    ranked = [documents[index] for index in order]
    gone: dict[int, int] = {}
    sketches = Sketches([sketch(document) for document in _followed(ranked, tell)])
    stays = np.ones(len(ranked), dtype=bool)
    counts = np.zeros((len(ranked), _BUCKETS), dtype=np.uint16)
    for shorter, document in enumerate(_followed(ranked, tell)):
        counts[shorter] = np.frombuffer(document.derived("numbers", _counted_numbers), dtype="<u2")
        for near in sketches.alike(shorter, NEARLY_THE_SAME, stays):
            # A look at the counts first: of a thousand daily forms, no two texts are compared.
            likely = near[(counts[near] >= counts[shorter]).all(axis=1)]
            longer = next((other for other in likely if _numbers(document) <= _numbers(ranked[other])), None)
            if longer is not None:
                gone[shorter], stays[shorter] = int(longer), False
                break
    aside = [_nearly(ranked[shorter], ranked[longer]) for shorter, longer in gone.items()]
    names = {each.name for each in aside}
    return tuple(d for d in documents if d.name not in names), tuple(sorted(aside, key=lambda each: each.name))


def _in_usual_forms(text: str) -> tuple[str, bytes]:
    usual, count = usual_forms(text)
    return usual, str(count).encode()


def _without_lines(text: str, gone: frozenset[int]) -> tuple[str, bytes]:
    """The text without these lines, and how many characters they have; as it is, if nothing would be left."""
    lines = text.split("\n")
    shorter = "\n".join(line for number, line in enumerate(lines) if number not in gone)
    return (shorter if shorter.strip() else text), str(sum(len(lines[number]) for number in gone)).encode()


def _followed(documents: Sequence[Document], tell: Callable[[Progress], None]) -> Iterator[Document]:
    return followed(documents, "comparing", lambda document: document.as_read.characters, tell)


def _repeated(documents: Documents, tell: Callable[[Progress], None]) -> NDArray[np.uint64]:
    """The paragraphs that at least `_FEWEST` documents have. Counted a part of all paragraphs at a time, by their first
    bits: those of all documents together may not fit into memory."""
    total = sum(len(_removable(document)) for document in _followed(documents, tell))
    parts = 1 << max(0, (total // _AT_ONCE).bit_length())
    found = [np.zeros(0, dtype=np.uint64)]
    for part in range(parts):
        some = [np.zeros(0, dtype=np.uint64)]
        for document in documents:
            paragraphs = np.unique(_removable(document)["paragraph"])
            some.append(paragraphs[paragraphs % parts == part])
        paragraphs, holders = np.unique(np.concatenate(some), return_counts=True)
        found.append(paragraphs[holders >= _FEWEST])
    return np.concatenate(found)


def _removable(document: Document) -> NDArray[np.void]:
    """The lines that may go if others have them too: number, and a hash of the paragraph."""
    if document.facts.kind in _TABULAR:
        return np.zeros(0, dtype=_LINE)
    return np.frombuffer(document.derived("paragraphs", _removable_lines), dtype=_LINE)


def _removable_lines(text: str) -> bytes:
    lines = text.split("\n")
    filled = [number for number, line in enumerate(lines) if line.strip()]
    steps = [bool(_STEP.match(lines[number])) for number in filled]
    removable = [
        (number, int.from_bytes(hashlib.sha256("".join(lines[number].split()).encode()).digest()[:8], "little"))
        for place, number in enumerate(filled)
        if len(lines[number].strip()) >= _SHORTEST
        and not any(steps[max(0, place - 1) : place + 2])
        and "|" not in lines[number]
        and not _VALUE.search(lines[number])
    ]
    return np.array(removable, dtype=_LINE).tobytes()


def _numbers(document: Document) -> Counter[str]:
    return _numbers_in(document.text)


def _numbers_in(text: str) -> Counter[str]:
    return Counter(unicodedata.normalize("NFKC", number) for number in _NUMBER.findall(text))


def _counted_numbers(text: str) -> bytes:
    """How often numbers of each of `_BUCKETS` hashes stand in the text: where a text's counts are above another's, it
    says something that the other does not."""
    counts = np.zeros(_BUCKETS, dtype=np.int64)
    for number, count in _numbers_in(text).items():
        counts[zlib.crc32(number.encode()) % _BUCKETS] += count
    return np.minimum(counts, 2**16 - 1).astype("<u2").tobytes()


def _nearly(document: Document, other: Document) -> SetAside:
    reasons = f"nearly the same text as {other.name}", f"{other.name} とほぼ同じ内容です"
    return SetAside(document.name, *reasons, document.marks, document.file)
