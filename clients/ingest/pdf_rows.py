"""Pieces of text that are read in one direction -> rows, each parted where its gaps are wide or ruled. No furigana."""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from clients.ingest.pdf_page import Piece

_GAP, _OWN_GAP = 0.9, 1.2  # in sizes of the type: wider ones part columns and cells; where the file has blanks there
_OFF_LINE = 0.35  # of the type: what stands higher or lower is in another line
_NO_BLANK = 0.6  # of the type: a gap beside a Japanese character that is but the typesetter's
_FURIGANA = 0.62  # of the type that it stands above
_KANA = re.compile(r"[\u3041-\u3096\u30a1-\u30fc・]+")


@dataclass(slots=True)
class Segment:
    """Pieces of a row with no wide gap between them. `before`: what stands between it and the one on its left."""

    text: str
    left: float
    right: float
    bottom: float
    top: float
    base: float  # the line on which it stands
    size: float
    word: float  # the width of its first word
    before: str = ""

    @property
    def middle(self) -> float:
        """Its height."""
        return (self.bottom + self.top) / 2


Row = list[Segment]


class Rules:
    """Ruled lines that are parallel: (where, from, to) each. Those in one line with each other count as one."""

    def __init__(self, rules: Iterable[tuple[float, float, float]]) -> None:
        at: dict[int, list[tuple[float, float]]] = {}
        for where, start, end in rules:
            at.setdefault(round(where), []).append((min(start, end), max(start, end)))
        self._at = {where: list(_merged(spans)) for where, spans in at.items()}
        self._places = sorted(self._at)

    def cross(self, low: float, high: float, level: float) -> bool:
        """Whether one between `low` and `high` passes `level`."""
        for where in self._places[bisect_left(self._places, low - 1) : bisect_right(self._places, high + 1)]:
            spans = self._at[where]
            nearest = bisect_right(spans, (level, float("inf"))) - 1
            if nearest >= 0 and spans[nearest][1] >= level:
                return True
        return False

    def along(self, low: float, high: float, start: float, end: float) -> list[int]:
        """Where there are some between `low` and `high` that go along most of the way from `start` to `end`."""
        found = []
        for where in self._places[bisect_left(self._places, low) : bisect_right(self._places, high)]:
            spans = self._at[where]
            first = max(0, bisect_right(spans, (start, start)) - 1)
            covered = sum(
                max(0.0, min(b, end) - max(a, start)) for a, b in spans[first : bisect_right(spans, (end, end))]
            )
            if covered > 0.6 * (end - start):
                found.append(where)
        return found


def _merged(spans: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    spans.sort()
    start, end = spans[0]
    for low, high in spans[1:]:
        if low > end + 1:
            yield start, end
            start, end = low, high
        end = max(end, high)
    yield start, end


def rows(pieces: list[tuple[Piece, Segment]], down: Rules) -> list[Row]:
    """From top to bottom; each piece comes with its place, turned upright. `down`: rules that part a row."""
    found = list[list[tuple[Piece, Segment]]]()
    main = Segment("", 0, 0, 0, 0, 0, 0, 0)  # what the row is aligned with: its largest piece, as wide as the row
    for piece, place in sorted(pieces, key=lambda each: (-each[1].middle, each[1].left)):
        if found and _is_beside(place, main):
            found[-1].append((piece, place))
            if place.size > main.size:
                main, place = replace(place), main
            main.left, main.right = min(main.left, place.left), max(main.right, place.right)
        else:
            found.append([(piece, place)])
            main = replace(place)
    return [list(_parted(row, down)) for row in _without_furigana(found)]


def _is_beside(place: Segment, main: Segment) -> bool:
    """Whether a piece stands on a row's line, or is a small sign beside it, set higher or lower."""
    small, large = sorted((place, main), key=lambda each: each.size)
    if min(abs(place.base - main.base), abs(place.middle - main.middle)) < _OFF_LINE * small.size:
        return True
    overlap = min(place.top, main.top) - max(place.bottom, main.bottom)
    touches = place.left < main.right + 0.5 * large.size and main.left - 0.5 * large.size < place.right
    return touches and small.size < 0.8 * large.size and overlap > 0.5 * (small.top - small.bottom)


def _without_furigana(rows: list[list[tuple[Piece, Segment]]]) -> Iterator[list[tuple[Piece, Segment]]]:
    """Kana in small type above a row, or at its upper edge, say how it is pronounced."""
    for number, row in enumerate(rows):
        size = max(place.size for _, place in row)
        below = rows[number + 1] if number + 1 < len(rows) else []
        size_below = max((place.size for _, place in below), default=0.0)
        if size <= _FURIGANA * size_below and all(_KANA.fullmatch(piece.text) for piece, _ in row):
            near = row[0][1].bottom - max(place.top for _, place in below) < 0.5 * size_below
            left, right = min(p.left for _, p in below), max(p.right for _, p in below)
            if near and all(left - size_below < p.left and p.right < right + size_below for _, p in row):
                continue
        floor = min(place.bottom for _, place in row if place.size == size) + 0.5 * size
        kept = [
            (piece, place)
            for piece, place in row
            if place.size > _FURIGANA * size or place.bottom < floor or not _KANA.fullmatch(piece.text)
        ]
        yield kept


def _parted(row: list[tuple[Piece, Segment]], down: Rules) -> Iterator[Segment]:
    row.sort(key=lambda each: each[1].left)
    segment = replace(row[0][1])
    texts, last, longest = [segment.text], segment.text, len(segment.text)
    for piece, place in row[1:]:
        blank = _blank(segment, last, piece, place)
        gap = place.left - segment.right
        last = place.text
        if gap > (_OWN_GAP if piece.before else _GAP) * max(segment.size, place.size) or (
            gap > -1 and down.cross(segment.right, place.left, place.middle)
        ):
            segment.text = "".join(texts)
            yield segment
            segment, texts, longest = replace(place, before=blank or " "), [last], len(last)
        else:
            texts += (blank, last)
            segment.right = max(segment.right, place.right)
            if len(last) > longest:
                segment.size, longest = place.size, len(last)
            segment.bottom, segment.top = min(segment.bottom, place.bottom), max(segment.top, place.top)
    segment.text = "".join(texts)
    yield segment


def _blank(left: Segment, last: str, piece: Piece, place: Segment) -> str:
    """What stands between: the file's own blanks, or one where there is a gap that is no matter of typesetting."""
    if piece.before:
        return piece.before
    gap = (place.left - left.right) / max(left.size, place.size, 0.1)
    is_japanese = _is_wide(last[-1]) or _is_wide(place.text[0])
    if gap < (_NO_BLANK if is_japanese else 0.1):
        return ""
    return " "


def width(text: str) -> int:
    """In half-width characters."""
    return sum(1 if character.isascii() else 2 for character in text)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WFA"


def glued(above: str, below: str) -> tuple[str, str]:
    """Two lines of one text, to be joined: a blank between Latin words, none within Japanese, no hyphen of a word that
    the line's end split."""
    if above.endswith(("\x02", "\ufffe", "\xad")):  # pdfium's and Unicode's signs of such a hyphen
        return above[:-1], below
    if above[-1:] in (" ", "\u3000", "") or not (above[-1].isascii() and below[:1].isascii()):
        return above, below
    return above, f" {below}"
