"""Which reader a file's suffix calls for, and what all of them have in common. Runs in the parsing process alone."""

from collections.abc import Callable, Iterator
from functools import partial

from clients.ingest import logs, markup, office, pdf
from clients.ingest.content import Content, Facts, Unusable, full_width_kana
from clients.ingest.encoding import decode
from clients.ingest.kinds import suffix_of


def parts(data: bytes, name: str) -> Iterator[tuple[str, Callable[[], Content]]]:
    """(name within the file, what reads it): one without a name."""
    yield "", partial(parse, data, name)


def parse(data: bytes, name: str) -> Content:
    """The text of a file of this name, cleaned. Raises Unusable, and MemoryError where there is not enough."""
    if not data.strip():
        raise Unusable("empty", "空です")
    suffix = suffix_of(name)
    try:
        content = READERS[suffix](data, name)
    except (Unusable, MemoryError):
        raise
    except Exception as error:
        # The parsers raise whatever a damaged file leads them into, and no list of it would be complete. Only the
        # reading of this one file is within this boundary, and its reason keeps the parser's words.
        words = f"{type(error).__name__}: {error}".removesuffix(": ")[:_LONGEST_WORDS]
        raise Unusable(
            f"damaged, or not a {suffix} file ({words})", f"壊れているか {suffix} ではありません（{words}）"
        ) from error
    text = full_width_kana(content.text.replace("\r\n", "\n"))
    if "\0" in text:
        raise Unusable("holds NUL characters", "NUL 文字を含みます")
    if not text.strip():
        raise Unusable("empty", "空です")
    return Content(text, content.facts)


def _text(data: bytes, _: str) -> Content:
    decoded = decode(data)
    return Content(decoded.text, Facts("text", decoded.encoding, decoded.sure))


READERS: dict[str, Callable[[bytes, str], Content]] = {
    ".txt": _text,
    ".htm": lambda data, _: markup.read(data),
    ".html": lambda data, _: markup.read(data),
    ".pdf": lambda data, _: pdf.read(data),
    ".docx": lambda data, _: office.read(data),
    ".csv": logs.read,
}
_LONGEST_WORDS = 300  # characters of a parser's message; it may quote the file
