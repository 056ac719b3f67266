"""Which reader a file's suffix calls for, and what all of them have in common. Runs in the parsing process alone."""

from collections.abc import Callable, Iterator
from functools import partial

from clients.ingest import archive, logs, marks, markup, office, pdf, sheets, slides
from clients.ingest.content import Content, Facts, Unusable, full_width_kana
from clients.ingest.encoding import decode
from clients.ingest.kinds import suffix_of
from clients.ingest.logs.site import ALONE, NOWHERE, Site, Sites


def parts(data: bytes, name: str, sites: Sites = NOWHERE) -> Iterator[tuple[str, Callable[[], Content]]]:
    """(name within the file, what reads it or raises Unusable): each file of an archive; else one, without a name."""
    if suffix_of(name) != ".zip":
        yield "", partial(parse, data, name, sites.of(""))
        return
    for inner, contents in archive.files(data):
        yield inner, partial(_parse_inner, contents, inner, sites.of(inner))


def _parse_inner(contents: Callable[[], bytes], name: str, site: Site) -> Content:
    return parse(contents(), name.rpartition("/")[2], site)


def part(data: bytes, name: str) -> bytes:
    """The bytes of one part. Raises Unusable, and KeyError where there is none of this name."""
    return dict(archive.files(data))[name]() if name else data


def parse(data: bytes, name: str, site: Site = ALONE) -> Content:
    """The text of a file of this name, cleaned. `site`: what is known about a log beside. Raises Unusable, and
    MemoryError where there is not enough."""
    if not data.strip():
        raise Unusable("empty", "空です")
    suffix = suffix_of(name)
    try:
        content = READERS[suffix](data, name, site)
    except (Unusable, MemoryError):
        raise
    except Exception as error:
        # The parsers raise whatever a damaged file leads them into, and no list of it would be complete. Only the
        # reading of this one file is within this boundary. Its reason has no word of the parser's but the error's kind:
        # messages quote the file, and a reason stands on terminals and in manifests, unmasked and for good.
        kind = type(error).__name__
        raise Unusable(
            f"damaged, or not a {suffix} file ({kind})", f"壊れているか {suffix} ではありません（{kind}）"
        ) from error
    text = full_width_kana(content.text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\0\x1a"))
    if "\0" in text:
        raise Unusable("holds NUL characters", "NUL 文字を含みます")
    if not text.strip():
        raise Unusable("empty", "空です")
    found = content.marks | marks.in_text(text, content.around)
    return Content(text, content.facts, content.left_out, marks=found, log=content.log)


def _text(data: bytes, name: str, site: Site) -> Content:
    if suffix_of(name) == ".txt" and (log := logs.read_text(data, name, site)):
        return log
    decoded = decode(data)
    kind = "text" if suffix_of(name) == ".txt" else "markdown"
    return Content(decoded.text, Facts(kind, decoded.encoding, decoded.sure))


READERS: dict[str, Callable[[bytes, str, Site], Content]] = {
    **dict.fromkeys((".csv", ".tsv"), logs.read),
    ".pdf": lambda data, *_: pdf.read(data),
    **dict.fromkeys((".txt", ".md", ".markdown"), _text),
    **dict.fromkeys((".htm", ".html"), lambda data, *_: markup.read(data)),
    **dict.fromkeys((".docx", ".docm"), lambda data, *_: office.read(data)),
    **dict.fromkeys((".xlsx", ".xlsm"), lambda data, *_: sheets.read(data)),
    **dict.fromkeys((".pptx", ".pptm"), lambda data, *_: slides.read(data)),
}
"""All kinds of `kinds` but ZIP, whose files `archive` gives. Macros are not looked at."""
