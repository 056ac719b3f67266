"""What a parsing process answered, checked: a parser that a file has taken over may have written it."""

import math
import re
from dataclasses import fields, replace
from typing import Any

from clients.ingest.content import Content, Facts, LeftOut, LogSpan, Unusable
from clients.ingest.logs import told_rows
from clients.ingest.marks import MARKS
from clients.ingest.pipe import BadAnswer, Frame
from federation.text import printable

_LONGEST = 4_000  # characters of a name or a reason
_ROWS = re.compile(rf"(?:[0-9a-f]{{{told_rows.DIGITS}}}){{0,{2 * told_rows.MOST}}}")


class MoreMemoryNeeded(Exception):
    """The parser had not enough of it."""


def name(frame: Frame) -> str:
    """The name of the part that is read next. Raises BadAnswer."""
    return _line(frame.head["part"])


def result(frame: Frame) -> Content | Unusable:
    """Raises MoreMemoryNeeded and BadAnswer."""
    match frame.head:
        case {"no_memory": True}:
            raise MoreMemoryNeeded
        case {"facts": dict(facts), "left_out": list(left_out), "marks": list(marks), "log": log}:
            if not all(mark in MARKS for mark in marks):
                raise BadAnswer("no marks")
            told = tuple(map(_left_out, left_out))
            return Content(frame.text, _facts(facts), told, marks=frozenset(marks), log=_log(log))
        case {"reason": reason, "reason_ja": reason_ja, "left_out": list(left_out)}:
            return Unusable(_line(reason), _line(reason_ja), left_out=tuple(map(_left_out, left_out)))
    raise BadAnswer("no answer")


def _facts(given: dict[str, Any]) -> Facts:
    default = Facts()
    expected = {field.name: type(getattr(default, field.name)) for field in fields(Facts)}
    if {key: type(value) for key, value in given.items()} != expected:
        raise BadAnswer("no facts")
    facts = Facts(**given)
    if not math.isfinite(facts.sure):
        raise BadAnswer("no share")
    return replace(facts, kind=_line(facts.kind), encoding=_line(facts.encoding))


def _left_out(given: object) -> LeftOut:
    match given:
        case [int(count), what, what_ja]:
            return LeftOut(count, _line(what), _line(what_ja))
    raise BadAnswer("no count")


def _log(given: object) -> LogSpan | None:
    match given:
        case None:
            return None
        case [str(columns), int(first), int(last), str(rows)] if _ROWS.fullmatch(rows):
            return LogSpan(_line(columns), first, last, rows)
    raise BadAnswer("no log")


def _line(text: object) -> str:
    if not isinstance(text, str):
        raise BadAnswer("no text")
    return printable(text[:_LONGEST])
