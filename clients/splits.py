"""Documents -> those to train on, to validate with and to test with. Near-duplicates stay on one side.

A revised manual repeats most of the old one: trained on the one and measured on the other, a loss would be a lie. So
what is dealt is families: documents that share half of their character 5-grams, directly or through others.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clients.ingest import Document, Documents
from clients.ingest.logs import told_rows
from clients.similarity import Sketches
from federation.errors import DataFolderInvalid

NEAR_DUPLICATE = 0.5
"""The Jaccard similarity of two sets of character 5-grams from which documents count as versions of one."""

Family = tuple[Document, ...]


@dataclass(frozen=True)
class Earlier:
    """What was decided before at this site. Parts are numbered: 0 is trained on, i is held-out part i.

    `texts`: the part of each text, by SHA-256 as it was read; `places`: the parts of what was in a file; `sketches`: of
    the texts, also of those that are gone; `rows`: of those of them that are logs.
    """

    texts: Mapping[bytes, int] = field(default_factory=dict)
    places: Mapping[str, Set[int]] = field(default_factory=dict)
    sketches: Mapping[bytes, bytes] = field(default_factory=dict)
    rows: Mapping[bytes, str] = field(default_factory=dict)


NOTHING_EARLIER = Earlier()


def split(
    documents: Sequence[Document], shares: Sequence[float], folder: Path, earlier: Earlier = NOTHING_EARLIER
) -> tuple[Documents, ...]:
    """(train, held out 1, held out 2, …), near-duplicates together; see `deal`.

    A text stays in the part in which it was, for good. A new one goes where its family is: the texts that it is like,
    gone ones too, and what its file said before. Where some of these are trained on and some are held out, the new one
    is in no part: it would teach what is measured, or be measured after it was taught.
    """
    undecided, decided = list[Family](), [list[Document]() for _ in range(1 + len(shares))]
    for family, parts in _with_earlier(documents, earlier):
        if not parts:
            undecided.append(family)
            continue
        for document in family:
            if (part := earlier.texts.get(document.as_read.sha256)) is not None:
                decided[part].append(document)
            elif parts == {0} or 0 not in parts:
                decided[max(parts)].append(document)
    return deal(undecided, shares, folder, [tuple(part) for part in decided])


def deal(
    families: Sequence[Family], shares: Sequence[float], folder: Path, decided: Sequence[Documents] = ()
) -> tuple[Documents, ...]:
    """Whole families: about `shares[i]` of all characters in held-out part i, and at least one family in every part.
    `decided`: what is in each part already, beginning with what is trained on, and stays there.

    Only the texts decide, not their names or order: families are walked by SHA-256, and one goes to the part if that
    brings the part's characters nearer to its share. So a family larger than twice the share is trained on, unless all
    are: then the smallest is taken. Each part comes in order of SHA-256. Shares and walk go by the texts as they were
    read: what is masked or cleaned, which depends on other documents, moves none from test to training.

    Raises DataFolderInvalid (about `folder`) for fewer families than parts.
    """
    left = sorted(families, key=_dealt_by)
    train, *held = decided or ((),) * (1 + len(shares))
    empty = sum(not part for part in (train, *held))
    if len(left) < empty:
        raise _too_few(len(left), empty, folder) if empty == 1 + len(shares) else _too_few_new(len(left), empty, folder)
    total = sum(map(_characters, (*left, train, *held)))
    for index, share in enumerate(shares):
        there = held[index]
        empty -= not there
        most = len(left) - empty  # a family for each part that is still to come and is empty, training included
        taken = list(_taken(left, share * total - _characters(there), most, 0 if there else 1))
        firsts = {family[0].digest for family in taken}
        left = [family for family in left if family[0].digest not in firsts]
        held[index] = _in_order((there, *taken))
    return _in_order((train, *left)), *held


def families(documents: Sequence[Document]) -> list[Family]:
    """Documents grouped with their near-duplicates; exact repeats are one document. Each family in order of SHA-256."""
    return [family for family, _ in _with_earlier(documents, NOTHING_EARLIER)]


def _with_earlier(documents: Sequence[Document], earlier: Earlier) -> list[tuple[Family, set[int]]]:
    """Families, linked also by texts that are gone, each with the parts in which any of it was."""
    distinct = sorted({document.digest: document for document in documents}.items())
    unique = _without_between([document for _, document in distinct], earlier)
    here = {document.as_read.sha256 for document in unique}
    gone = [text for text in earlier.sketches if text not in here]
    sketches = Sketches([*unique, *(earlier.sketches[text] for text in gone)])
    found = list[tuple[Family, set[int]]]()
    rows = [*(document.rows for document in unique), *(earlier.rows.get(text, "") for text in gone)]
    for linked in _joined(_linked(sketches, len(unique) + len(gone)), told_rows.sharing(rows)):
        family = tuple(unique[index] for index in linked if index < len(unique))
        texts = [
            *(each.as_read.sha256 for each in family),
            *(gone[i - len(unique)] for i in linked if i >= len(unique)),
        ]
        parts = {earlier.texts[text] for text in texts if text in earlier.texts}
        for document in family:
            if document.as_read.sha256 not in earlier.texts:
                parts |= earlier.places.get(document.place, set())
        if family:
            found.append((family, parts))
    return found


def _without_between(documents: list[Document], earlier: Earlier) -> list[Document]:
    """Those but for new logs, such as a month's export, that tell rows of both sides: they are in no part, and what is
    like one of them, such as the next day's log, need not be."""
    decided = [text for text in earlier.rows if text in earlier.texts]
    logs = [*(earlier.rows[text] for text in decided), *(document.rows for document in documents)]
    sides = defaultdict[int, set[bool]](set)
    for first, second in told_rows.sharing(logs):
        if first < len(decided):
            sides[second - len(decided)].add(earlier.texts[decided[first]] > 0)
    return [
        document
        for number, document in enumerate(documents)
        if document.as_read.sha256 in earlier.texts or len(sides[number]) < 2
    ]


def _joined(families: list[list[int]], pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Families of which two members are one of `pairs` are one."""
    family_of = {index: family for family in families for index in family}
    for one, other in pairs:
        mine, theirs = family_of[one], family_of[other]
        if mine is not theirs:
            mine += theirs
            family_of |= dict.fromkeys(theirs, mine)
    distinct = {id(family): sorted(family) for family in family_of.values()}
    return sorted(distinct.values())


def _linked(sketches: Sketches, count: int) -> list[list[int]]:
    """The indices of `count` sketches in families, each in order, families by their first."""
    family_of = np.arange(count)  # the smallest index that each is linked with
    families = {index: [index] for index in range(count)}
    others = np.ones(count, dtype=bool)  # not of the family of the index at hand
    for index in range(count):
        others[index] = False
        for near in sketches.alike(index, NEAR_DUPLICATE, others):
            for family in np.unique(family_of[near]).tolist():
                low, high = sorted((family, int(family_of[index])))
                others[families[family]] = False
                if low != high:
                    joining = families.pop(high)
                    family_of[joining] = low
                    families[low] += joining
        others[families[int(family_of[index])]] = True
    return [sorted(families[first]) for first in sorted(families)]


def _taken(families_left: Sequence[Family], wanted: float, most: int, fewest: int) -> Iterator[Family]:
    """The families of one held-out part: between `fewest` (0 or 1) and `most` of them."""
    count = characters = 0
    for family in families_left:
        size = _characters(family)
        if count < most and abs(characters + size - wanted) < abs(characters - wanted):
            count, characters = count + 1, characters + size
            yield family
    if count < fewest:
        yield min(families_left, key=_characters)


def _in_order(parts: Iterable[Family]) -> Documents:
    return tuple(sorted((document for family in parts for document in family), key=lambda document: document.digest))


def _dealt_by(family: Family) -> bytes:
    """The place of a family in the walk."""
    return min(document.as_read.sha256 for document in family)


def _characters(family: Family) -> int:
    return sum(document.as_read.characters for document in family)


def _too_few(found: int, needed: int, folder: Path) -> DataFolderInvalid:
    return DataFolderInvalid(
        path=folder,
        detail=f"it holds {found} different document(s) (near-duplicates count as one); at least {needed} are needed: "
        "to train on, and to hold out for measuring",
        detail_ja=f"異なる文書が {found} 件です（ほぼ同じ文書は 1 件と数えます）。学習と評価に {needed} 件以上必要です",
    )


def _too_few_new(found: int, needed: int, folder: Path) -> DataFolderInvalid:
    return DataFolderInvalid(
        path=folder,
        detail="nothing is left there of what was trained on, or of what was held out to measure with, and the rest "
        f"stays what it was: {needed} more new document(s) are needed, and it holds {found}",
        detail_ja="これまで学習に使った文書、または評価用に分けた文書が残っていません。残りの文書の用途は変更しません。"
        f"新しい文書が {needed} 件必要です（現在 {found} 件）",
    )
