"""The dates and times of Japanese machines -> milliseconds since 1970, by the wall's clock; and back, as people read
them.

A column of times has to be read a million times over: what has been read of a date is kept.
"""

import datetime
import functools
import re
import unicodedata

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000  # milliseconds

_EPOCH = datetime.date(1970, 1, 1).toordinal()
_ERAS = {"令和": 2018, "R": 2018, "平成": 1988, "H": 1988, "昭和": 1925, "S": 1925}  # the year before the first
_PIVOT = 70  # a year of two digits from here on is of the last century

_MONTH_AND_DAY = r"(?P<month>\d{1,2})[-/.月] ?(?P<day>\d{1,2})"
_DATES = tuple(
    re.compile(rf"(?:{form})日?(?: ?\((?:[月火水木金土日]|[A-Za-z]{{3}})\.?\))?")
    for form in (
        rf"'?(?P<year>\d{{4}}|\d{{2}})[-/.年] ?{_MONTH_AND_DAY}",
        rf"(?P<era>令和|平成|昭和|[RHS])\.? ?(?P<of_era>\d{{1,2}}|元)[-/.年] ?{_MONTH_AND_DAY}",
        r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})",
    )
)
_COMPACT_DATE = re.compile(r"(?P<year>(?:19|20)\d\d)(?P<month>[01]\d)(?P<day>[0-3]\d)")
_CLOCK = re.compile(
    r"(?P<before>午前|午後|[AaPp][Mm])? ?(?P<hour>\d{1,2})[:時](?P<minute>\d{1,2})"
    r"(?:[:分](?P<second>\d{1,2})(?:[.,:](?P<fraction>\d{1,9}))?秒?|分)?"
    r"(?: ?(?P<after>[AaPp][Mm]))?(?: ?(?:Z|[+-]\d\d:?\d\d|JST))?"
)
_COMPACT_CLOCK = re.compile(r"(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)(?P<fraction>\d{3})?")
_BETWEEN = re.compile(r"(?<=\d日)(?=\S)|[ T,]+(?![(])|_(?=\d)")  # no blank before a weekday
_COMPACT = re.compile(r"(\d{8})[ T_-]?(\d{6}(?:\d{3})?)")


def moment(cell: str) -> int | None:
    """A date with a time: 2026/11/22 9:05, R8.11.22 09:05:00, 令和8年11月22日 9時5分, 26-11-22 24:00, 20261122090500 …

    A year of two digits comes first, as everywhere in Japan: 05/11/26 is a day of 2005. None for what is no time.
    """
    text = _plain(cell)
    for found in _BETWEEN.finditer(text):
        day = _day(text[: found.start()])
        if day is not None:
            time = clock(text[found.end() :])
            return None if time is None else day + time
    if compact := _COMPACT.fullmatch(text):
        day, time = date(compact[1], compact=True), clock(compact[2], compact=True)
        return None if day is None or time is None else day + time
    return None


def date(cell: str, compact: bool = False) -> int | None:
    """A date by itself, as its midnight. `compact`: 20261122 is one, too, and not just a number."""
    text = _plain(cell)
    return _day(text) if not compact or not text.isdecimal() else _made(_COMPACT_DATE.fullmatch(text))


def clock(cell: str, compact: bool = False) -> int | None:
    """A time of day by itself; 24:00 is a whole day. `compact`: 090500 is one, too."""
    text = _plain(cell)
    found = _CLOCK.fullmatch(text) or (_COMPACT_CLOCK.fullmatch(text) if compact else None)
    if not found:
        return None
    part = found.groupdict()
    hour, minute, second = int(part["hour"]), int(part["minute"]), int(part["second"] or 0)
    half = (part.get("before") or part.get("after") or "").upper()
    if half:
        if hour > 12:
            return None
        hour = hour % 12 + (12 if half in ("午後", "PM") else 0)
    if minute > 59 or second > 59 or hour > 24 or (hour == 24 and (minute or second)):
        return None
    fraction = int((part["fraction"] or "0")[:3].ljust(3, "0"))
    return hour * HOUR + minute * MINUTE + second * SECOND + fraction


def shown(time: int) -> str:
    """`2026-01-05 09:00`, with seconds if there are any."""
    days, rest = divmod(time, DAY)
    day = datetime.date.fromordinal(days + _EPOCH)
    second = rest % MINUTE // SECOND
    clock = f"{rest // HOUR:02}:{rest % HOUR // MINUTE:02}" + (f":{second:02}" if second else "")
    return f"{day.isoformat()} {clock}"


def span(first: int, last: int) -> str:
    """`2026-01-05 09:00～12:50`: the day is not said twice."""
    start, end = shown(first), shown(last)
    return f"{start}～{end.removeprefix(start[:11])}"


def length(time: int) -> str:
    """`2 時間 30 分`; seconds under an hour only."""
    days, hours, minutes = time // DAY, time % DAY // HOUR, time % HOUR // MINUTE
    seconds = time % MINUTE // SECOND if time < HOUR else 0
    parts = ((days, "日"), (hours, "時間"), (minutes, "分"), (seconds, "秒"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "1 秒未満"


def _plain(cell: str) -> str:
    """Full-width digits and signs as the others, and one blank at a time."""
    if not cell.isascii():
        cell = unicodedata.normalize("NFKC", cell)
    return " ".join(cell.split())


@functools.lru_cache(maxsize=4096)
def _day(text: str) -> int | None:
    return next((day for form in _DATES if (day := _made(form.fullmatch(text))) is not None), None)


def _made(found: re.Match[str] | None) -> int | None:
    if not found:
        return None
    part = found.groupdict()
    if part.get("era"):
        year = _ERAS[part["era"]] + (1 if part["of_era"] == "元" else int(part["of_era"]))
    else:
        year = int(part["year"])
        if len(part["year"]) == 2:
            year += 1900 if year >= _PIVOT else 2000
    try:
        day = datetime.date(year, int(part["month"]), int(part["day"]))
    except ValueError:
        return None
    return (day.toordinal() - _EPOCH) * DAY if 1900 <= year < 2200 else None
