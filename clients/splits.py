"""Documents -> those to train on, to validate with and to test with. Near-duplicates stay on one side.

A revised manual repeats most of the old one: trained on the one and measured on the other, a loss would be a lie. So
what is dealt is families: documents that share half of their character 5-grams, directly or through others.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from clients.ingest import Document, Documents
from clients.similarity import Sketches
from federation.errors import DataFolderInvalid

NEAR_DUPLICATE = 0.5
"""The Jaccard similarity of two sets of character 5-grams from which documents count as versions of one."""

Family = tuple[Document, ...]


def split(documents: Sequence[Document], shares: Sequence[float], folder: Path) -> tuple[Documents, ...]:
    """(train, held out 1, held out 2, …), near-duplicates together; see `deal`."""
    return deal(families(documents), shares, folder)


def deal(families: Sequence[Family], shares: Sequence[float], folder: Path) -> tuple[Documents, ...]:
    """Whole families: about `shares[i]` of all characters in held-out part i, and at least one family in every part.

    Only the texts decide, not their names or order: families are walked by SHA-256, and one goes to the part if that
    brings the part's characters nearer to its share. So a family larger than twice the share is trained on, unless all
    are: then the smallest is taken. Each part comes in order of SHA-256. Shares and walk go by the texts as they were
    read: what is masked or cleaned, which depends on other documents, moves none from test to training.

    Raises DataFolderInvalid (about `folder`) for fewer families than parts.
    """
    left = sorted(families, key=_dealt_by)
    if len(left) <= len(shares):
        raise _too_few(len(left), len(shares) + 1, folder)
    total = sum(map(_characters, left))
    held = list[Documents]()
    for index, share in enumerate(shares):
        most = len(left) - (len(shares) - index)  # a family for each part that is still to come, training included
        taken = list(_taken(left, share * total, most))
        firsts = {family[0].digest for family in taken}
        left = [family for family in left if family[0].digest not in firsts]
        held.append(_in_order(taken))
    return _in_order(left), *held


def families(documents: Sequence[Document]) -> list[Family]:
    """Documents grouped with their near-duplicates; exact repeats are one document. Each family in order of SHA-256."""
    distinct = sorted({document.digest: document for document in documents}.items())
    unique = [document for _, document in distinct]
    return [tuple(unique[index] for index in linked) for linked in linked_by_likeness(Sketches(unique), len(unique))]


def linked_by_likeness(sketches: Sketches, count: int) -> list[list[int]]:
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


def _taken(families_left: Sequence[Family], wanted: float, most: int) -> Iterator[Family]:
    """The families of one held-out part: between one and `most` of them."""
    count = characters = 0
    for family in families_left:
        size = _characters(family)
        if count < most and abs(characters + size - wanted) < abs(characters - wanted):
            count, characters = count + 1, characters + size
            yield family
    if not count:
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
