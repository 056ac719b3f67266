"""Which texts are alike: Jaccard similarity of their sets of character 5-grams, estimated by MinHash (Broder 1997)."""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from clients.ingest.selection import Document

_GRAM, _PERMUTATIONS, _BANDS = 5, 128, 32  # 32 bands of 4: finds 87 % of pairs at 0.5, all but 1 in 1,000 at 0.65
SKETCH = f"minhash of {_GRAM}-grams, rensa {RMinHash.ALGORITHM_VERSION}, {_PERMUTATIONS} permutations"
"""How sketches are made: those of one kind can be compared."""
_AT_ONCE = 100_000  # grams of a text in memory
_COMPARED = 256  # sketches that are compared with another one at a time


class Sketches:
    """The MinHash sketches of some texts: 512 bytes each, and as many again to find those that agree in a band."""

    def __init__(self, texts: "Sequence[Document | bytes]") -> None:
        """Of documents, or of texts that are gone and whose `sketch` was kept."""
        rows = (np.frombuffer(text if isinstance(text, bytes) else sketch(text), dtype="<u4") for text in texts)
        self._sketches = np.fromiter(rows, dtype=(np.uint32, _PERMUTATIONS), count=len(texts))
        # Of each band: the texts in an order in which those that agree in it follow each other, and where each one's
        # run begins and where it itself stands.
        self._bands = [_runs(part) for part in np.split(self._sketches, _BANDS, axis=1)]

    def alike(self, number: int, threshold: float, wanted: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
        """Texts before `number` whose similarity with it is estimated at `threshold` (0.5 or more) at least, in order,
        some at a time: of those that agree with it in a band, those that agree in so many places. Only those that are
        `wanted`; what is not any more when its turn comes is left out."""
        agree = np.zeros(number, dtype=bool)
        for order, starts, places in self._bands:
            agree[order[starts[number] : places[number]]] = True
        (candidates,) = np.nonzero(agree & wanted[:number])
        while len(candidates):
            some, candidates = candidates[:_COMPARED], candidates[_COMPARED:]
            same = (self._sketches[some] == self._sketches[number]).mean(axis=1)
            if (same >= threshold).any():
                yield some[same >= threshold]
                candidates = candidates[wanted[candidates]]


def sketch(document: Document) -> bytes:
    """The MinHash of a document's text: `_PERMUTATIONS` numbers of 32 bits. Kept where the text is kept."""
    return document.derived(SKETCH, _sketch_of)


def _runs(band: NDArray[np.uint32]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    order = np.lexsort((*band.T,)).astype(np.int32)  # stable: within a run the texts are in their own order
    sorted_band = band[order]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (sorted_band[1:] != sorted_band[:-1]).any(axis=1)
    positions = np.arange(len(order), dtype=np.int32)
    places, starts = np.empty_like(positions), np.empty_like(positions)
    places[order] = positions
    starts[order] = np.maximum.accumulate(np.where(begins, positions, 0))
    return order, starts, places


def _sketch_of(text: str) -> bytes:
    squeezed = "".join(text.split())  # another line width makes no other document
    made = RMinHash(num_perm=_PERMUTATIONS, seed=1)
    grams = (squeezed[i : i + _GRAM] for i in range(max(1, len(squeezed) - _GRAM + 1)))
    while some := list(islice(grams, _AT_ONCE)):
        made.update(some)
    return np.array(made.digest(), dtype="<u4").tobytes()
