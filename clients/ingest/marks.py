"""機密区分: which marks of confidentiality a file bears, in its name, its folders' names, around its text and in it.

A reader's `around` is what it saw and left out of the text: headers, footers, stamps, watermarks, labels. A mark there
counts wherever it stands; in the text itself only where it is set as a mark (alone in its line or cell, in square
brackets, after 機密区分, among the first or last lines), since manuals write about confidential documents, too.
"""

import re
import unicodedata
from collections.abc import Sequence

_GAP = r"[\s_]*"  # as in 社 外 秘 and 社_外_秘
_SPELLED = {
    "極秘": _GAP.join("極秘"),
    "社外秘": _GAP.join("社外秘")
    + rf"|社{_GAP}内{_GAP}(?:秘(?!書)|限(?!度|界)(?:{_GAP}[り定])?|専用(?=文書|資料|図|[\W_]|$))",
    "部外秘": _GAP.join("部外秘"),
    "関係者限り": _GAP.join(["関係者", "(?:限り?|のみ|外秘)"]),
    "客先支給": _GAP.join(["客先(?:より)?", "支給"]),
    "持出禁止": rf"(?:[社場構]外(?:への?)?{_GAP})?" + _GAP.join(["持ち?出し?", "(?:厳?禁", "止?|不可)"]),
    "秘": rf"(?:マル|まる|[丸○〇◯]){_GAP}秘|(?<![^\W_])(?:(?<![外極][\s_])秘|厳秘|(?:機密|秘密)(?!\s*情報))"
    r"(?=文書|資料|扱|図|につき|[\W_]|$)",
    "CONFIDENTIAL": r"(?<![A-Za-z])(?i:confidential|(?:for )?internal[\s_-]?use[\s_-]?only)(?![A-Za-z])",
}
MARKS = tuple(_SPELLED)
"""As policy.toml names them."""

_BRACKETS = r"【】\[\]〔〕《》"
_ORNAMENT = r"(?:[^\w\n]|[_0-9])*"  # page numbers, too
_BETWEEN = rf"\s{_BRACKETS}<>()〈〉■●◆★☆※*~〜/|:・_=—―-"
_AFTER = r"(?:\s*(?:文書|資料|情報|図面?|扱い?)|\s*につき[^\n|]{0,60})?"
_THIS = r"(?:本|この)(?:書類?|資料|文書|図面?|ファイル|手順書|マニュアル|データ)は?、?\s*"
_IS = r"(?:です|である|とする|とします)?。?"
_ANYWHERE = {mark: re.compile(spelled) for mark, spelled in _SPELLED.items()}
_SET_AS_MARK = {
    mark: re.compile(
        rf"^{_ORNAMENT}(?:{_THIS})?(?:{spelled}){_AFTER}{_IS}{_ORNAMENT}$"
        rf"|[{_BRACKETS}]\s*(?:{spelled}){_AFTER}\s*[{_BRACKETS}]"
        rf"|^[^\n:|]{{1,20}}:[ \t]*(?:{spelled}){_AFTER}{_ORNAMENT}$"
        rf"|(?:機密|秘密|情報|文書)区分\s*[:|]?[\s*_`]*(?:{spelled})",
        re.MULTILINE,
    )
    for mark, spelled in _SPELLED.items()
}
_AT_AN_END = {
    mark: re.compile(rf"(?:^|[{_BETWEEN}])(?:{spelled}){_AFTER}(?:[{_BETWEEN}]|$)")
    for mark, spelled in _SPELLED.items()
}
_LINE_ENDS = re.compile(r"[\r\v\f\x85\u2028\u2029]")
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"))
_LATIN = ("ONFIDENTIAL", "onfidential", "NTERNAL", "nternal")
_WIDE = ("ＯＮＦＩＤＥＮＴＩＡＬ", "ｏｎｆｉｄｅｎｔｉａｌ", "ＮＴＥＲＮＡＬ", "ｎｔｅｒｎａｌ")
_SIGNS = ("秘", "祕", "㊙", "機密", "社内", "内 限", "関係者", "客先", "持", *_LATIN, *_WIDE)
"""Each mark has one of them."""
_ENDS, _LONGEST_END = 5, 200  # lines; characters


def in_name(name: str) -> frozenset[str]:
    """Those in a path, folders included."""
    return _found(_ANYWHERE, _plain(name))


def in_text(text: str, around: str) -> frozenset[str]:
    """Those in a file that was read."""
    text, around = _plain(text), _plain(around)
    by_cell = text.replace(" | ", "\n").replace("|", "\n")
    said = _found(_ANYWHERE, by_cell)  # by far most files have none: the rest is for the others
    as_marks = _found({mark: _SET_AS_MARK[mark] for mark in said}, by_cell)
    return _found(_ANYWHERE, around) | as_marks | _at_ends(text.split("\n"))


def set_apart(text: str) -> frozenset[str]:
    """Those that are set as marks in lines that say something beside the text, such as menus and remarks."""
    return _found(_SET_AS_MARK, _plain(text))


def in_cells(text: str, delimiter: str) -> frozenset[str]:
    """Those of a table of which not every row is told: alone in a cell, or at an end of it. A log may be long, and most
    have none."""
    if not any(sign in text for sign in _SIGNS):
        return frozenset()
    lines = _LINE_ENDS.sub("\n", text).split("\n")
    cells = (cell for line in lines if any(sign in line for sign in _SIGNS) for cell in line.split(delimiter))
    as_marks = _found(_SET_AS_MARK, "\n".join(_plain(cell).strip("\"' ") for cell in cells))
    return as_marks | _at_ends([line.replace(delimiter, " ") for line in lines])


def _at_ends(lines: Sequence[str]) -> frozenset[str]:
    filled = [line for line in lines if line.strip()]
    # Longer ones are no heads or feet, and a line of a million blanks would take the pattern its square.
    ends = (_plain(line) for line in filled[:_ENDS] + filled[-_ENDS:] if len(line) <= _LONGEST_END)
    return frozenset[str]().union(*(_found(_AT_AN_END, line) for line in ends))


def _plain(text: str) -> str:
    """For this search alone: in usual width, without what cannot be seen."""
    usual = _LINE_ENDS.sub("\n", text.replace("㊙", "(マル秘)").replace("祕", "秘"))
    return unicodedata.normalize("NFKC", usual).translate(_INVISIBLE)


def _found(patterns: dict[str, re.Pattern[str]], text: str) -> frozenset[str]:
    found = {mark for mark, pattern in patterns.items() if pattern.search(text)}
    return frozenset(found)
