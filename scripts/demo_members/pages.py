"""HTML of the pinned packages -> one paragraph, list item, heading or table row a line."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

JAPANESE_SHARE = 0.35
BOILERPLATE_PAGES = 20  # a line found on this many pages of a package says nothing about any of them

MAIN_CONTENT = ("#page-content", "#DisplayArea", "body")
NO_CONTENT = (
    "script, style, nav, pre, p.code, .example, .toplang, .bottomlang, .lang-toggle, #quickview, .top, .seealso, "
    ".permalink, .howtoget, .relatedtopics, .noteicon, #banner, #title, .docnav, .toc, .indexterm"
)
BLOCKS = frozenset(("blockquote", "br", "dd", "div", "dl", "dt", "li", "ol", "p", "section", "table", "ul"))
BREAK, TITLE = "\x1e", "\x1f"  # marks within a page's text while it is taken apart
ANY_BREAK = re.compile(rf"{BREAK}(\d{TITLE})?")
JAPANESE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff々]")
WRAPPED = re.compile(r"(?<=[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]) (?=[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef])")
ENGLISH = r"(?:[A-Za-z][A-Za-z'’-]*[,.;:]? +){%d}[A-Za-z]"
ENGLISH_LINE, ENGLISH_RUN = re.compile(ENGLISH % 3), re.compile(ENGLISH % 6)
# Bare links, the mirrors from which packages come, and what the help's own build could not find.
POINTER = re.compile(r"^→ http|\b(?:deb|ftp[\w-]*|httpredir|mirrors?|packages|security|snapshot)\.[\w-]+\.|not found\]")


class Line(NamedTuple):
    """One paragraph, list item or table row (level 0), or a heading (1 to 6)."""

    text: str
    level: int = 0


def read_package(root: Path) -> dict[str, list[Line]]:
    """The pages by place, without the lines that too many of them have."""
    pages = dict(read_page(path, root) for path in root.rglob("*.html"))
    seen = Counter(text for lines in pages.values() for text in {line.text for line in lines if not line.level})
    return {
        place: without_empty_sections([line for line in lines if seen[line.text] < BOILERPLATE_PAGES])
        for place, lines in pages.items()
    }


def read_page(path: Path, root: Path) -> tuple[str, list[Line]]:
    """The page's place (its path, below its chapter if it names one) and its own text, line by line."""
    tree = LexborHTMLParser(path.read_text(encoding="utf-8"))
    chapter = tree.css_first("link[rel=up]:not([href='index.html'])")
    place = (f"{chapter.attributes['href']}/" if chapter else "") + str(path.relative_to(root))
    for unwanted in tree.css(NO_CONTENT):
        unwanted.decompose()
    main_content = next(filter(None, map(tree.css_first, MAIN_CONTENT)))
    return place.replace(".html", ""), list(as_lines(marked(main_content)))


def marked(node: LexborNode) -> str:
    """The node's text with BREAK around each block, a heading's level before TITLE, and a table's row in one block."""
    if node.tag == "-text":
        return node.text_content or ""
    inner = [marked(child) for child in node.iter(include_text=True)]
    if node.tag == "tr":
        cells = (" ".join(ANY_BREAK.sub(" ", cell).split()) for cell in inner)
        return BREAK + " | ".join(cell for cell in cells if cell).replace(": | ", ": ") + BREAK
    text = "".join(inner)
    if node.tag and re.fullmatch("h[1-6]", node.tag):
        return f"{BREAK}{node.tag[1:]}{TITLE}{ANY_BREAK.sub(' ', text)}{BREAK}"
    return f"{BREAK}{text}{BREAK}" if node.tag in BLOCKS else text


def as_lines(marked_text: str) -> Iterator[Line]:
    """Undo the source's wrapping, but no NFKC: it would spoil ① and ㎜. Passages left in English are dropped."""
    for raw in marked_text.split(BREAK):
        level, _, inner = raw.rpartition(TITLE)
        text = WRAPPED.sub("", " ".join(inner.replace("\u200b", "").split()))
        share = japanese_share(text)
        in_english = share < JAPANESE_SHARE and (ENGLISH_RUN if share else ENGLISH_LINE).search(text)
        if text and not in_english and not POINTER.search(text):
            yield Line(text, int(level or 0))


def japanese_share(text: str) -> float:
    return len(JAPANESE.findall(text)) / max(1, len(text))


def without_empty_sections(lines: list[Line]) -> list[Line]:
    """Drop headings with nothing below them: their text was a listing, or was not translated."""
    kept: list[Line] = []
    for line in reversed(lines):
        below = kept[-1].level if kept else 1
        if not line.level or not 1 <= below <= line.level:
            kept.append(line)
    return kept[::-1]
