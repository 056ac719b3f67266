"""HTML -> its text, a line for each paragraph, list item, heading and table row. Nothing is fetched or run."""

import re
from collections.abc import Iterator, Set
from itertools import accumulate

from selectolax.lexbor import LexborHTMLParser, LexborNode

from clients.ingest import marks
from clients.ingest.content import Content, Facts, Unusable
from clients.ingest.encoding import decode

_LEFT_OUT = "script, style, nav, head, template, noscript, iframe, object, select, button, svg, math"
_BLOCKS = (
    "address article aside blockquote body br caption center dd details div dl dt fieldset figcaption figure footer "
    "form h1 h2 h3 h4 h5 h6 header hr html legend li main ol optgroup option p pre section select summary "
    "table tbody textarea tfoot thead tr ul"
)
_SAID_OF_IT = "title, meta[name][content], meta[property][content]"
_BESIDE = "nav, img[alt], svg text"
_SECTIONS = frozenset(["article", "aside", "footer", "header", "main", "nav", "section"])
_IS_BLOCK = frozenset(_BLOCKS.split())
_HEADING = re.compile("h[1-6]")

# HTML's own rules make a parser look through all open elements at each start tag: depth costs its square.
_DEEPEST = 1_000
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_NEVER_NEST = "area base br col dd dt hr img input li link meta option p source tbody td tfoot th thead tr wbr"
_NEVER_NESTS = frozenset(_NEVER_NEST.split())

# Marks within a page's text while it is taken apart; a page's own ones are removed first.
_BREAK, _CELL, _ROW, _ROW_END, _TITLE = "\x1c", "\x1d", "\x1e", "\x1f", "\x02"
_BLANK, _TAB, _END_OF_PRE = "\x03", "\x04", "\x05"  # within <pre>
_MARKS = re.compile("[\x02-\x05\x1c-\x1f]")
_AS_THEY_ARE = str.maketrans({" ": _BLANK, "\t": _TAB, "\n": _BREAK})
_AS_THEY_WERE = str.maketrans({_BLANK: " ", _TAB: "\t", _END_OF_PRE: None})
_BLANKS = re.compile(r"[ \t\r\n\f]+")
_WIDE = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"
# A line end in the source between two Japanese characters is no blank: HTML of Japanese text is wrapped anywhere.
_WRAPPED = re.compile(rf"(?<=[{_WIDE}])[ \t\f]*[\r\n][ \t\r\n\f]*(?=[{_WIDE}])")


def read(data: bytes) -> Content:
    """Raises Unusable when the encoding is unknown, and as `text_of`. A page's `<meta charset>` only breaks a tie."""
    decoded = decode(data)
    tree = _parsed(decoded.text)
    around, beside = "\n".join(_said_around(tree)), "\n".join(_said_beside(tree))
    facts = Facts("html", decoded.encoding, decoded.sure)
    # A menu names other pages, and a picture may be of anything: a mark counts there where it stands alone.
    return Content(_text(tree), facts, around=around, marks=marks.set_apart(beside))


def text_of(page: str) -> str:
    """The page's text. A heading has an empty line before it; a row's cells stand between ` | `.

    Raises Unusable for a page that opens more elements than it closes, by far.
    """
    return _text(_parsed(page))


def _parsed(page: str) -> LexborHTMLParser:
    depth = accumulate(-1 if end else 1 for end, tag in _TAG.findall(page) if tag.lower() not in _NEVER_NESTS)
    if max(depth, default=0) > _DEEPEST:
        raise Unusable(f"nested more than {_DEEPEST} deep", f"要素の入れ子が {_DEEPEST} を超えています")
    return LexborHTMLParser(page)


def _text(tree: LexborHTMLParser) -> str:
    """Of what is to be read; the rest is taken out of the tree."""
    for unwanted in tree.css(_LEFT_OUT):
        unwanted.decompose()
    return "".join(_lines(tree.body)).lstrip("\n") if tree.body is not None else ""


def _said_around(tree: LexborHTMLParser) -> Iterator[str]:
    """Title, keywords and the like, and the head and foot of the page; those of an article in it are its text."""
    for node in tree.css(_SAID_OF_IT):
        yield node.text() if node.tag == "title" else node.attributes.get("content") or ""
    for node in tree.css("header, footer"):
        if not _is_within(node, _SECTIONS):
            yield from _lines(node)


def _said_beside(tree: LexborHTMLParser) -> Iterator[str]:
    """Menus, the words of drawings, and those that stand for pictures."""
    for node in tree.css(_BESIDE):
        if node.tag == "img":
            yield node.attributes.get("alt") or ""
        elif not _is_within(node, {node.tag}):
            yield from _lines(node)


def _is_within(node: LexborNode, tags: Set[str | None]) -> bool:
    above = node.parent
    while above is not None and above.tag not in tags:
        above = above.parent
    return above is not None


def _lines(element: LexborNode) -> Iterator[str]:
    """Its text, each line with its LF."""
    for raw in _rows_flattened("".join(_marked(element))).split(_BREAK):
        line = _unwrapped(raw.removeprefix(_TITLE)).translate(_AS_THEY_WERE)
        if line.strip():
            yield f"\n{line}\n" if raw.startswith(_TITLE) else f"{line}\n"


def _marked(body: LexborNode) -> Iterator[str]:
    """The text in the order of the page, with marks. Not recursive: how deep a page nests is its author's choice."""
    stack: list[LexborNode | str] = [body]
    within_pre = 0
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            within_pre -= node.startswith(_END_OF_PRE)
            yield node
        elif node.tag == "-text":
            text = _MARKS.sub("", node.text_content or "")
            yield text.translate(_AS_THEY_ARE) if within_pre else text
        else:
            before, after = _around(node.tag or "")
            within_pre += node.tag == "pre"
            stack.append(after)
            stack.extend(reversed(list(node.iter(include_text=True))))
            yield before


def _around(tag: str) -> tuple[str, str]:
    if tag == "tr":
        return _BREAK + _ROW, _ROW_END + _BREAK
    if tag in ("td", "th"):
        return _CELL, ""
    if _HEADING.fullmatch(tag):
        return _BREAK + _TITLE, _BREAK
    if tag == "pre":
        return _BREAK, _END_OF_PRE + _BREAK
    return (_BREAK, _BREAK) if tag in _IS_BLOCK else ("", "")


def _rows_flattened(marked: str) -> str:
    """Each row in one line. A table within a cell becomes part of the outer row."""
    parts: list[list[str]] = [[]]
    for piece in re.split(f"([{_ROW}{_ROW_END}])", marked):
        if piece == _ROW:
            parts.append([])
        elif piece == _ROW_END and len(parts) > 1:
            cells = (
                _unwrapped(cell) for cell in re.sub(f"[{_BREAK}{_TITLE}]", "\n", "".join(parts.pop())).split(_CELL)
            )
            parts[-1].append(" | ".join(cell for cell in cells if cell))
        else:
            parts[-1].append(piece)
    return "".join("".join(part) for part in parts).replace(_CELL, " ")


def _unwrapped(text: str) -> str:
    return _BLANKS.sub(" ", _WRAPPED.sub("", text.replace("\u200b", ""))).strip(" ")
