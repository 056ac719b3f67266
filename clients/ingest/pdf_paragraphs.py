"""The lines of a PDF -> its paragraphs: no heads, feet and page numbers, and joined where the page wrapped them."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from clients.ingest.pdf_layout import Line
from clients.ingest.pdf_rows import glued

_ALIKE = 0.08  # of the type: Latin letters may be set so much larger than Japanese ones beside them
_EDGE = 2  # lines at a page's top and foot in which a mark counts wherever it stands
_PAGE_NUMBER = re.compile(
    r"[-–—\s]*(?:p\.?\s*)?\d{1,4}(?:\s*[/／]\s*\d{1,4})?(?:\s*(?:頁|ページ))?[-–—\s]*", re.IGNORECASE
)
ITEM = re.compile(r"[・●○■□◆◇▼▲►•‣※]|[-–]\s|\(?\d{1,2}[.)）]\s|[①-⑳]")


def edge_lines(lines: list[Line]) -> Iterator[Line]:
    """The highest and the lowest few lines of each page: heads, feet and what is printed there."""
    for page in _by_page(lines).values():
        by_height = sorted(page, key=lambda line: line.height)
        yield from by_height[:_EDGE] + by_height[-_EDGE:]


def _by_page(lines: list[Line]) -> dict[int, list[Line]]:
    pages: dict[int, list[Line]] = {}
    for line in lines:
        pages.setdefault(line.page, []).append(line)
    return pages


def without_running_heads(lines: list[Line]) -> list[Line]:
    """Without what stands first or last on most pages but for its number, and without page numbers."""
    most = max(2, len(_by_page(lines)) / 2)
    for _ in range(_EDGE):
        edges = [line for page in _by_page(lines).values() for line in _edges(page)]
        pages_with = Counter(key for key, _ in {(_key(line), line.page) for line in edges})
        dropped = {line for line in edges if pages_with[_key(line)] >= most or _PAGE_NUMBER.fullmatch(line.text)}
        lines = [line for line in lines if line not in dropped]
    return lines


def _edges(page: list[Line]) -> tuple[Line, Line]:
    return max(page, key=lambda line: line.height), min(page, key=lambda line: line.height)


def _key(line: Line) -> tuple[str, int]:
    return re.sub(r"\d+", "#", line.text.strip()), round(line.height)


def paragraphs(lines: list[Line]) -> str:
    """Lines joined where the page wrapped them; an empty line before what is set larger than the text."""
    if not lines:
        return ""
    sizes = Counter[float]()
    for line in lines:
        sizes[round(line.size, 1)] += len(line.text)
    body = sizes.most_common(1)[0][0]
    margins = _margins(lines)
    leading = _leading(lines, margins)
    parts = [[lines[0].text]]
    for above, line in pairwise(lines):
        if _continues(above, line, margins[_column(above)], leading):
            parts[-1][-1:] = glued(parts[-1][-1], line.text)
        else:
            parts.append([("\n" if line.size > 1.1 * body else "") + line.text])
    return "".join("".join(part).rstrip() + "\n" for part in parts).replace("\x02", "-")


def _margins(lines: list[Line]) -> dict[int, float]:
    """How far right lines reach that begin at about the same place (a column): where several end, not where one does.

    A line of a listing may run over the margin; that must not make all others look short.
    """
    columns: dict[int, list[Line]] = {}
    for line in lines:
        columns.setdefault(_column(line), []).append(line)
    margins = {}
    for column, members in columns.items():
        ends = sorted((line.right for line in members), reverse=True)
        several = max(1, len(ends) // 50)
        near = [end for at, end in enumerate(ends) if at + several < len(ends) and end - ends[at + several] < 12]
        margins[column] = (near or ends)[0]
    return margins


def _column(line: Line) -> int:
    return round(line.left / 20)


def _leading(lines: list[Line], margins: dict[int, float]) -> float:
    """The usual distance of two lines in a paragraph, in sizes of their type: what follows a full line tells it."""
    pairs = [(a, b) for a, b in pairwise(lines) if _alike(a, b) and a.y - b.y > 0.8 * a.size]
    full = [pair for pair in pairs if pair[0].right + pair[1].unit > margins[_column(pair[0])]]
    distances = sorted((a.y - b.y) / a.size for a, b in full or pairs)
    return distances[len(distances) // 4] if distances else 0.0


def _alike(above: Line, line: Line) -> bool:
    return (above.page, above.flow) == (line.page, line.flow) and abs(above.size - line.size) < _ALIKE * above.size


def _continues(above: Line, line: Line, margin: float, leading: float) -> bool:
    """Whether `line` belongs to the paragraph of `above`: nothing of it had room there, and nothing sets it off."""
    if above.is_row or line.is_row or abs(above.size - line.size) >= _ALIKE * above.size or ITEM.match(line.text):
        return False
    hanging = ITEM.match(above.text) is not None
    if line.left > above.left + 0.7 * above.size and not hanging:
        return False
    if above.right + line.unit < margin - 0.6 * above.size:
        return False
    if (above.page, above.flow) != (line.page, line.flow):
        return not above.text.rstrip().endswith(("。", "！", "？", ".", ":", "："))
    return 0.0 < above.y - line.y < 1.15 * leading * above.size
