"""The site's own words and patterns, and those that it allows.

A pattern is a template and no regular expression: `#` stands for one digit, `?` for one Latin letter, everything else
for itself. So anyone can read and write it, and none can be written that takes for ever on one line.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate

from clients.ingest.personal.context import folded

SHORTEST = 2  # characters; a single one would be everywhere
_SIGNS = {"#": "[0-9]", "?": "[a-z]", "-": "[-ー]"}
_SHORTEST_IN_PIECES = 3
_JAPANESE = re.compile("[ぁ-んァ-ヴー一-龥々ヶ・]+")
_PIECE = re.compile("[^ \n]+")
_APART = re.compile(" {0,4}\n? {0,4}")  # what may stand between two characters of a word
_SMALL = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})


class Vocabulary:
    """Words and templates, looked for without regard to width and to capital letters."""

    def __init__(self, entries: Iterable[str]) -> None:
        alike = {_alike(entry) for entry in entries}
        templates = {entry for entry in alike if _SIGNS.keys() & set(entry)}
        self._words: dict[str, list[str]] = {}
        for word in sorted(alike - templates, key=lambda word: (-len(word), word)):
            self._words.setdefault(word[:SHORTEST], []).append(word)
        firsts = "".join(sorted({re.escape(first[0]) for first in self._words}))
        self._first = re.compile(f"[{firsts}]") if firsts else None
        self._templates = [_compiled(template) for template in sorted(templates)]

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where they are in a text: of words that begin at one place the longest."""
        if not (self._first or self._templates):
            return
        alike = _alike(text)
        yield from self._words_in(alike)
        yield from self._in_pieces(alike)
        for template in self._templates:
            yield from (match.span() for match in template.finditer(alike))

    def _words_in(self, alike: str) -> Iterator[tuple[int, int]]:
        for match in self._first.finditer(alike) if self._first else ():
            for word in self._words.get(alike[match.start() : match.start() + SHORTEST], ()):
                if alike.startswith(word, match.start()):
                    yield match.start(), match.start() + len(word)
                    break

    def _in_pieces(self, alike: str) -> Iterator[tuple[int, int]]:
        """Japanese words of three characters or more over a line end, or with blanks between their characters."""
        pieces = [(match.start(), match[0]) for match in _PIECE.finditer(alike)]
        joined = "".join(piece for _, piece in pieces)
        begins = [0, *accumulate(len(piece) for _, piece in pieces)]

        def place(at: int) -> int:
            number = bisect_right(begins, at) - 1
            return pieces[number][0] + at - begins[number]

        for first, behind in self._words_in(joined):
            start, end = place(first), place(behind - 1) + 1
            if end - start == behind - first or behind - first < _SHORTEST_IN_PIECES:
                continue
            if _JAPANESE.fullmatch(joined, first, behind) and all(
                map(_APART.fullmatch, re.split("[^ \n]", alike[start:end]))
            ):
                yield start, end


def _compiled(template: str) -> re.Pattern[str]:
    body = "".join(_SIGNS.get(sign) or re.escape(sign) for sign in template)
    return re.compile(rf"(?<![0-9a-z]){body}(?![0-9a-z])")


def _alike(text: str) -> str:
    """Folded, Latin letters small: as long as `text`, which str.lower need not be."""
    return folded(text).translate(_SMALL)
