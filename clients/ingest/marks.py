"""機密区分: which marks of confidentiality a file bears, in its name, its folders' names, around its text and in it.

A reader's `around` is what it saw and left out of the text: headers, footers, stamps, watermarks, labels. A mark there
counts wherever it stands; in the text itself only where it is set as a mark (alone in its line or cell, in square
brackets, after 機密区分, among the first or last lines), since manuals write about confidential documents, too.
"""

import re
import unicodedata

_GAP = r"[\s_]*"  # as in 社 外 秘 and 社_外_秘
_SPELLED = {
    "極秘": _GAP.join("極秘"),
    "社外秘": _GAP.join("社外秘"),
    "部外秘": _GAP.join("部外秘"),
    "関係者限り": _GAP.join(["関係者", "(?:限り|のみ|外秘)"]),
    "客先支給": _GAP.join(["客先(?:より)?", "支給"]),
    "持出禁止": _GAP.join(["持ち?出し?", "厳?禁", "止?"]),
    "秘": rf"(?:マル|[丸○〇◯]){_GAP}秘|(?<![^\W_])(?<![外極][\s_])秘(?![^\W_])",
    "CONFIDENTIAL": r"(?<![A-Za-z])(?i:confidential)(?![A-Za-z])",
}
MARKS = tuple(_SPELLED)
"""As policy.toml names them."""

_BRACKETS = r"【】\[\]〔〕《》"
_ORNAMENT = r"(?:[^\w\n]|[_0-9])*"  # page numbers, too
_BETWEEN = rf"\s{_BRACKETS}<>()〈〉■●◆★☆※*~〜/|:・_=—―-"
_AFTER = r"(?:\s*(?:文書|資料|情報|図面|扱い))?"
_ANYWHERE = {mark: re.compile(spelled) for mark, spelled in _SPELLED.items()}
_SET_AS_MARK = {
    mark: re.compile(
        rf"^{_ORNAMENT}(?:{spelled}){_AFTER}{_ORNAMENT}$"
        rf"|[{_BRACKETS}]\s*(?:{spelled}){_AFTER}\s*[{_BRACKETS}]"
        rf"|^[^\n:|]{{1,20}}:[ \t]*(?:{spelled}){_AFTER}{_ORNAMENT}$"
        rf"|(?:機密|秘密|情報|文書)区分\s*[:|]?\s*(?:{spelled})",
        re.MULTILINE,
    )
    for mark, spelled in _SPELLED.items()
}
_AT_AN_END = {
    mark: re.compile(rf"(?:^|[{_BETWEEN}])(?:{spelled}){_AFTER}(?:[{_BETWEEN}]|$)")
    for mark, spelled in _SPELLED.items()
}
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"))
_LATIN = ("ONFIDENTIAL", "onfidential", "ＯＮＦＩＤＥＮＴＩＡＬ", "ｏｎｆｉｄｅｎｔｉａｌ")
_SIGNS = ("秘", "㊙", "関係者", "客先", "持", *_LATIN)  # each mark has one of them
_ENDS, _LONGEST_END = 5, 200  # lines; characters


def in_name(name: str) -> frozenset[str]:
    """Those in a path, folders included."""
    return _found(_ANYWHERE, _plain(name))


def in_text(text: str, around: str) -> frozenset[str]:
    """Those in a file that was read."""
    text, around = _plain(text), _plain(around)
    lines = [line for line in text.split("\n") if line.strip()]
    # Longer ones are no heads or feet, and a line of a million blanks would take the pattern its square.
    ends = (_found(_AT_AN_END, line) for line in lines[:_ENDS] + lines[-_ENDS:] if len(line) <= _LONGEST_END)
    said = _found(_ANYWHERE, text)  # by far most files have none: the rest is for the others
    as_marks = _found({mark: _SET_AS_MARK[mark] for mark in said}, text.replace(" | ", "\n"))
    return _found(_ANYWHERE, around) | as_marks.union(*ends)


def in_cells(text: str, delimiter: str) -> frozenset[str]:
    """Those alone in a cell of a table of which not every row is told. A log may be long, and most have none."""
    if not any(sign in text for sign in _SIGNS):
        return frozenset()
    cells = (cell for line in text.split("\n") if any(s in line for s in _SIGNS) for cell in line.split(delimiter))
    return _found(_SET_AS_MARK, "\n".join(_plain(cell).strip("\"' \r") for cell in cells))


def _plain(text: str) -> str:
    """For this search alone: in usual width, without what cannot be seen."""
    return unicodedata.normalize("NFKC", text.replace("㊙", "(マル秘)")).translate(_INVISIBLE)


def _found(patterns: dict[str, re.Pattern[str]], text: str) -> frozenset[str]:
    found = {mark for mark, pattern in patterns.items() if pattern.search(text)}
    return frozenset(found)
