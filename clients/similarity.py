"""Which texts are alike: Jaccard similarity of their sets of character 5-grams, estimated by MinHash (Broder 1997)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from clients.ingest.selection import Document

_GRAM, _PERMUTATIONS, _BANDS = 5, 128, 32  # 32 bands of 4: finds 87 % of pairs at 0.5, all but 1 in 1,000 at 0.65
_SKETCH = f"minhash of {_GRAM}-grams, rensa {RMinHash.ALGORITHM_VERSION}, {_PERMUTATIONS} permutations"
_AT_ONCE = 100_000  # grams of a text in memory


def alike(documents: Iterable[Document], threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs of indices, the smaller one first, whose similarity is estimated at `threshold` (0.5 or more) at least: of
    sketches that agree in a band, those that agree in so many places."""
    sketches = list[NDArray[np.uint32]]()
    holders = defaultdict[tuple[int, bytes], list[int]](list)
    for number, sketch in enumerate(map(_sketch, documents)):
        bands = [(band, part.tobytes()) for band, part in enumerate(np.split(sketch, _BANDS))]
        for earlier in sorted({index for band in bands for index in holders[band]}):
            if np.mean(sketch == sketches[earlier]) >= threshold:
                yield earlier, number
        for band in bands:
            holders[band].append(number)
        sketches.append(sketch)


def _sketch(document: Document) -> NDArray[np.uint32]:
    """The MinHash of a document's text, (_PERMUTATIONS,); kept where the text is kept."""
    body = document.body
    sketch = _sketch_of(body) if isinstance(body, str) else body.derived(_SKETCH, _sketch_of)
    return np.frombuffer(sketch, dtype="<u4")


def _sketch_of(text: str) -> bytes:
    squeezed = "".join(text.split())  # another line width makes no other document
    sketch = RMinHash(num_perm=_PERMUTATIONS, seed=1)
    grams = (squeezed[i : i + _GRAM] for i in range(max(1, len(squeezed) - _GRAM + 1)))
    while some := list(islice(grams, _AT_ONCE)):
        sketch.update(some)
    return np.array(sketch.digest(), dtype="<u4").tobytes()
