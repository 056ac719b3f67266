"""Telephone numbers, マイナンバー, employee numbers and IP addresses, told from part, drawing and lot numbers."""

import ipaddress
import re
from collections.abc import Iterator

from clients.ingest.personal.context import Context
from clients.ingest.personal.kinds import Find

_FREE = r"(?<![0-9A-Za-z])(?<![0-9A-Za-z][-_./])"  # nothing before that makes it a part of a longer number
_END = r"(?![-_]?[0-9A-Za-z])(?!/[A-Za-z])"
_GAP = r"(?:-\n {0,4}|\n {0,4}[-ー]|\)\n {0,4}|[ -]{0,2}[-ー()・.─〜~][ -]{0,2}| )"
_AFTER_LABEL = (
    r"(?<=(?i:tel|fax))|(?<=(?i:tel|fax)[./])|(?<=(?i:phone)[./])|(?<=(?i:mobile)[./])|(?<=(?<![A-Za-z])[TFMP]\.)"
)
_SHAPE = re.compile(
    rf"(?:{_FREE}|{_AFTER_LABEL})(?:\+81 ?{_GAP}?\(?0?\)?\d{{1,4}}|\(?0\d{{1,4}})(?:{_GAP}?\d{{1,4}}){{1,3}}{_END}"
)
# A unit of one kanji only right behind: 内線 1234 本社 is followed by a word.
_UNIT = (
    r" ?(?:[kmM]?(?:[VAWN]|Hz|Ah|Pa|m|g)(?![A-Za-z一-龥ぁ-んァ-ヶ])|[℃%])|[φ相本個台人名階円年月日時分秒回条項以点線倍]"
)
_BARE = re.compile(rf"(?<![0-9A-Za-z])(?:\d{{1,4}}-)?\d{{3,11}}(?![-0-9A-Za-z]|{_UNIT})")

_SURELY = (
    r"(?:電話(?!線|回線)|℡|☎|(?<![A-Za-z])(?:TEL(?:EPHONE)?(?![A-Za-z])|FAX|PHS)|ファックス|ファクス|内線(?!規程))"
)
_PERHAPS = r"(?:(?<![A-Za-z])(?:Phone|Mobile)|携帯|外線|直通|代表|フリーダイヤル|自宅)"  # also 代表値, 直通弁, 携帯端末
_NUMBER = r"(?:[ .]?(?:番号|No\.?))?"
_SURE_LABEL = re.compile(_SURELY, re.IGNORECASE)
_TELEPHONE = re.compile(rf"(?:{_SURELY}|{_PERHAPS}){_NUMBER}", re.IGNORECASE)
_RIGHT_BEFORE = re.compile(rf"{_PERHAPS}(?:電話)?{_NUMBER}[ :=|()\[\]./#は0-9-]{{0,20}}$", re.IGNORECASE)
_OTHER_NUMBER = re.compile(
    r"(?<!電話)(?<!携帯)(?<!FAX)番(?!地)|型|図|書|コード|ロット|シリアル|管理|伝票|規格|様式|アラーム|パラメータ|座標|累計|積算|計数|カウン[タト]|周期|便|品名|部品|局"
    r"|(?<![A-Za-z])(?:lot|s/n|no|ver|rev|jis|iso|id|code|serial|p/n)(?![A-Za-z])",
    re.IGNORECASE,
)
_MY_NUMBER_LABEL = re.compile(r"マイナンバー|個人番号")
_EMPLOYEE_LABEL = re.compile(
    r"(?:社員|従業員|職員|工員|作業者|作業員|担当者|担当|オペレーター?|個人)(?:番号|コード|ID|No\.?|NO\.?|№|#)|社番|職番",
    re.IGNORECASE,
)
_EMPLOYEE_GAP = re.compile(r"[ :=|)は]{0,4}(?:\n {0,4})?")
_EMPLOYEE = re.compile(r"[A-Za-z]{0,3}-?\d{2,10}(?:-\d{1,8})?[A-Za-z]?(?![-0-9A-Za-z])")
_LINE_END = r"-(?:\n {0,4})?"
_TWELVE = re.compile(rf"{_FREE}\d{{4}}(?:([- ]?)\d{{4}}\1|{_LINE_END}\d{{4}}{_LINE_END})\d{{4}}{_END}")
_TIMESTAMP = re.compile(r"20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d")
_IPV4 = re.compile(r"(?<![0-9A-Za-z.])(?:\d{1,3}\.){3}\d{1,3}(?![0-9A-Za-z]|\.\d)")
_IPV6 = re.compile(r"(?<![0-9A-Za-z:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![0-9A-Za-z:])")
_VERSION = re.compile(
    r"(?:(?<![A-Za-z])(?:Ver|Version|Rev)|版数?|バージョン|ファームウェア?|firmware|[第章節§])[ .:=]{0,3}$",
    re.IGNORECASE,
)

# How the digits of a number are grouped (総務省, 電気通信番号計画): area, exchange, subscriber.
_GROUPS_OF_TEN = {(2, 4, 4), (3, 3, 4), (4, 2, 4), (5, 1, 4)}
_THREE_DIGIT_AREAS = {
    *range(17, 20), *range(22, 30), *range(42, 50), *range(52, 56), *range(75, 80), *range(82, 85), *range(86, 90),
    *range(95, 100), 11, 15, 58, 59, 72, 73, 92, 93,
}  # fmt: skip
_MOBILE = ("050", "070", "080", "090")
_TOLL = ("0120", "0570", "0800", "0990")


def telephones(context: Context) -> Iterator[Find]:
    """Numbers grouped as the numbering plan groups them, and any number right behind or under 電話, FAX, 内線 and the
    like."""
    for shape in _SHAPE.finditer(context.text):
        labelled = _label(context, shape.start())
        if labelled is _OTHER_NUMBER:
            continue
        # 0568-00-6600 9:00: what follows after a blank may not be part of it.
        for said in (shape[0], *(shape[0][: blank.start()] for blank in reversed([*re.finditer(" ", shape[0])]))):
            if _is_telephone(said, labelled is _TELEPHONE):
                yield Find("phone", shape.start() + (said[0] == "(" and ")" not in said), shape.start() + len(said))
                break
    for number in _BARE.finditer(context.text):
        if _is_called(context, number.start()) and _label(context, number.start()) is _TELEPHONE:
            yield Find("phone", *number.span())


def my_numbers(context: Context) -> Iterator[Find]:
    """Twelve digits whose check digit is right, or that are called マイナンバー."""
    for twelve in _TWELVE.finditer(context.text):
        digits = re.sub(r"\D", "", twelve[0])
        said = (context.before(twelve.start()), *context.labels(twelve.start()))
        called = any(map(_MY_NUMBER_LABEL.search, said))
        other = any(map(_OTHER_NUMBER.search, said)) or (not twelve[1] and _TIMESTAMP.fullmatch(digits))
        if called or (not other and digits[-1] == _check_digit(digits[:-1])):
            yield Find("my_number", *twelve.span())


def employees(context: Context) -> Iterator[Find]:
    """Numbers after 社員番号 and the like, and under such a heading."""
    for label in _EMPLOYEE_LABEL.finditer(context.text):
        gap = _EMPLOYEE_GAP.match(context.text, label.end())
        if gap and (number := _EMPLOYEE.match(context.text, gap.end())):
            yield Find("employee", *number.span())
    for start, cells, headings in context.rows():
        place = start
        for cell, heading in zip(cells, headings, strict=False):
            at = place + len(cell) - len(cell.lstrip())
            number = _EMPLOYEE.match(context.text, at)
            if number and any(map(_EMPLOYEE_LABEL.fullmatch, heading)):
                yield Find("employee", *number.span())
            place += len(cell) + 1


def ip_addresses(context: Context) -> Iterator[Find]:
    """Addresses of machines; no masks, no version numbers, nothing of the machine itself."""
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(context.text):
            try:
                address = ipaddress.ip_address(match[0])
            except ValueError:
                continue
            own = address.is_loopback or address.is_unspecified or match[0].startswith("255.")
            before, after = (
                context.text[max(0, match.start() - 12) : match.start()],
                context.text[match.end() : match.end() + 2],
            )
            section = (not before or before.endswith("\n")) and after == ". "
            if not (own or section or _VERSION.search(before)):
                yield Find("ip", *match.span())


def _is_called(context: Context, place: int) -> bool:
    """Whether a number without a form of its own is called a telephone's: by a word that means nothing else, or by one
    that may mean other things where it stands right before the number, or right above it."""
    before, above = context.before(place), context.labels(place)
    near = (before,) if before else above
    return any(map(_SURE_LABEL.search, (before, *above))) or any(map(_RIGHT_BEFORE.search, near))


def _label(context: Context, place: int) -> re.Pattern[str] | None:
    """Which of the two the nearest label is: of a telephone, or of another number."""
    for said in (context.before(place), *context.labels(place)):
        found = [(match.end(), label) for label in (_OTHER_NUMBER, _TELEPHONE) for match in label.finditer(said)]
        if found:
            return max(found, key=lambda each: each[0])[1]
    return None


def _is_telephone(said: str, labelled: bool) -> bool:
    groups = re.findall(r"\d+", said)
    if "+" in said:
        groups = groups[1:]  # 81
        digits = "".join(groups).removeprefix("0")
        return len(digits) in (9, 10)
    digits, lengths = "".join(groups), tuple(map(len, groups))
    if labelled:
        return 9 <= len(digits) <= 11
    if digits.startswith(_MOBILE):
        return len(digits) == 11 and lengths in {(3, 4, 4), (11,), (7, 4), (3, 8)}
    if digits.startswith(_TOLL):
        return lengths in {(4, 3, 3), (4, 2, 4), (4, 3, 4)} and len(digits) in (10, 11)
    if lengths not in _GROUPS_OF_TEN or digits[1] == "0" or re.fullmatch("[0-9 ]+", said):
        return False
    area = groups[0]
    return area in ("03", "04", "06") or (len(area) == 3 and int(area) in _THREE_DIGIT_AREAS) or len(area) >= 4


def _check_digit(eleven: str) -> str:
    """Of a マイナンバー (行政手続における特定の個人を識別するための番号の利用等に関する法律…省令, 5 条)."""
    weights = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
    rest = sum(int(digit) * weight for digit, weight in zip(eleven, weights, strict=True)) % 11
    return "0" if rest <= 1 else str(11 - rest)
