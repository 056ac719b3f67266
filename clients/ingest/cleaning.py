"""Documents -> documents in usual characters, without what many of them repeat; one of those that are nearly the same.

Each step takes only what is worth nothing: docs/ingest.md says what that is, and the tests hold it against examples of
what has to stay.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from dataclasses import replace

from clients.ingest.content import LeftOut
from clients.ingest.forms import usual_forms
from clients.ingest.selection import Document, Documents, SetAside
from clients.similarity import alike

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


def in_usual_forms(documents: Documents) -> tuple[Documents, int]:
    """Every document, and how many characters were changed in all."""
    changed, count = list[Document](), 0
    for document in documents:
        text, here = usual_forms(document.text)
        changed.append(document.with_text(text) if here else document)
        count += here
    return tuple(changed), count


def without_boilerplate(documents: Documents) -> tuple[Documents, int, int]:
    """Documents without the paragraphs that at least five of them share, which the first three keep; how many were
    removed, and their characters.

    A paragraph is a line of 40 characters or more. A line with a digit or in a table is a value, a line that is a step
    or beside one is an instruction: those stay in every document.
    """
    holders = Counter(paragraph for each in documents for paragraph in set(_removable(each).values()))
    repeated = {paragraph for paragraph, count in holders.items() if count >= _FEWEST}
    kept = Counter[bytes]()
    left, count, characters = list[Document](), 0, 0
    for document in documents:
        here = {number: found for number, found in _removable(document).items() if found in repeated}
        gone = {number for number, found in here.items() if kept[found] >= _KEPT}
        kept.update(set(here.values()))
        lines = document.text.split("\n") if gone else []
        text = "\n".join(line for number, line in enumerate(lines) if number not in gone)
        if not text.strip():  # nothing goes, or everything would
            left.append(document)
            continue
        count, characters = count + len(gone), characters + sum(len(lines[number]) for number in gone)
        removed = LeftOut(len(gone), "repeated paragraphs", "繰り返しの定型文（段落）")
        left.append(replace(document.with_text(text), left_out=(*document.left_out, removed)))
    return tuple(left), count, characters


def without_near_duplicates(documents: Documents) -> tuple[Documents, tuple[SetAside, ...]]:
    """Documents without those that are nearly the same as another and say no number that it does not say; the longer
    one is kept, of equally long ones the first by hash. So no measured or set value is lost."""
    order = sorted(
        range(len(documents)), key=lambda index: (-documents[index].as_read.characters, documents[index].as_read.sha256)
    )
    ranked = [documents[index] for index in order]
    gone: dict[int, int] = {}
    for longer, shorter in alike(ranked, NEARLY_THE_SAME):
        if shorter not in gone and longer not in gone and _numbers(ranked[shorter]) <= _numbers(ranked[longer]):
            gone[shorter] = longer
    aside = [_nearly(ranked[shorter], ranked[longer]) for shorter, longer in gone.items()]
    names = {each.name for each in aside}
    return tuple(d for d in documents if d.name not in names), tuple(sorted(aside, key=lambda each: each.name))


def _removable(document: Document) -> dict[int, bytes]:
    """By number, the lines that may go if others have them too; as hashes, since those of all documents are kept."""
    if document.facts.kind in _TABULAR:
        return {}
    lines = document.text.split("\n")
    filled = [number for number, line in enumerate(lines) if line.strip()]
    steps = [bool(_STEP.match(lines[number])) for number in filled]
    return {
        number: hashlib.sha256("".join(lines[number].split()).encode()).digest()
        for place, number in enumerate(filled)
        if len(lines[number].strip()) >= _SHORTEST
        and not any(steps[max(0, place - 1) : place + 2])
        and "|" not in lines[number]
        and not _VALUE.search(lines[number])
    }


def _numbers(document: Document) -> Counter[str]:
    return Counter(unicodedata.normalize("NFKC", number) for number in _NUMBER.findall(document.text))


def _nearly(document: Document, other: Document) -> SetAside:
    reasons = f"nearly the same text as {other.name}", f"{other.name} とほぼ同じ内容です"
    return SetAside(document.name, *reasons, document.marks, document.file)
