"""What a reader hands back about one file, and how it says that it cannot."""

import re
import unicodedata
from dataclasses import dataclass, field

from federation.errors import Language

LARGEST_FILE = 64 * 2**20  # bytes; larger ones are set aside unread, so that none fills a site's memory

_HALF_WIDTH_KANA = re.compile(r"[\uff61-\uff9f]+")
_LONE_MARKS = str.maketrans({"\u3099": "゛", "\u309a": "゜"})


@dataclass(frozen=True)
class Facts:
    """How a text was read. `kind`: text, markdown, html, pdf, docx, xlsx, pptx, table, sensor log or event log.

    `encoding` is empty where the format itself says it (PDF, DOCX). `sure`, from 0 to 1: how clear the choice of the
    encoding was; 1 where it was not a guess. `records`: windows of a log of readings, events of one of these, rows of a
    table; else 1.
    """

    kind: str = "text"
    encoding: str = ""
    sure: float = 1.0
    records: int = 1


@dataclass(frozen=True)
class LeftOut:
    """A part of a file that is not in its text: `count` of `what`, such as "hidden sheets"."""

    count: int
    what: str
    what_ja: str

    def name(self, language: Language) -> str:
        """What is counted."""
        return self.what_ja if language == "ja" else self.what

    def text(self, language: Language) -> str:
        """The count, for a person."""
        return f"{self.what_ja} {self.count}" if language == "ja" else f"{self.count} {self.what}"


@dataclass(frozen=True)
class LogSpan:
    """What other logs of a site are compared by: a digest of its columns' names, its time, in ms since 1970, and
    `rows`: some of those that it tells, see `logs.told_rows`."""

    columns: str
    first: int
    last: int
    rows: str = ""


@dataclass(frozen=True)
class Content:
    """One file's text, with LF between lines.

    `around`: what a reader saw and did not put into the text (headers, footers, stamps); `marks` of confidentiality are
    found in both, once it is read. `log`: of a log of readings or events.
    """

    text: str
    facts: Facts
    left_out: tuple[LeftOut, ...] = ()
    around: str = field(default="", repr=False)
    marks: frozenset[str] = frozenset()
    log: LogSpan | None = None


class Unusable(Exception):
    """This file cannot be used; the reason in both languages becomes its `SetAside`. `again`: the reason is not the
    file's own, so that it is tried again the next time. `left_out`: how much of what is in it, such as its pages; the
    reason is the same for any number, so that files can be counted by it."""

    def __init__(self, reason: str, reason_ja: str, again: bool = False, left_out: tuple[LeftOut, ...] = ()) -> None:
        super().__init__(reason)
        self.reason, self.reason_ja, self.again, self.left_out = reason, reason_ja, again, left_out


def too_large() -> Unusable:
    """The reason of a file that is larger than LARGEST_FILE."""
    mebibytes = LARGEST_FILE // 2**20
    return Unusable(f"larger than {mebibytes} MiB", f"{mebibytes} MiB を超えています")


def ambiguous() -> Unusable:
    """The reason of files whose names read the same: a report and a manifest could not tell them apart."""
    return Unusable("another file here has a name that reads the same", "同じ表記の名前のファイルがほかにあります")


def full_width_kana(text: str) -> str:
    """Half-width kana as the kana that they stand for (ﾎﾟﾝﾌﾟ -> ポンプ), and nothing else.

    Not NFKC of the whole text: that makes 1 of ①, mm of ㎜ and ~ of ～, and would thus destroy call-outs and ranges.
    """
    return _HALF_WIDTH_KANA.sub(lambda run: unicodedata.normalize("NFKC", run[0]).translate(_LONE_MARKS), text)
