"""機密区分: which marks of confidentiality a file bears, in its name, its folders' names, around its text and in it.

A reader's `around` is what it saw and left out of the text: headers, footers, stamps, watermarks, labels. A mark there
counts wherever it stands; in the text itself only where it is set as a mark (alone in its line or cell, in square
brackets, after 機密区分, among the first or last lines), since manuals write about confidential documents, too.
"""

import re

_SPELLED = {
    "極秘": r"極\s*秘",
    "社外秘": r"社\s*外\s*秘",
    "部外秘": r"部\s*外\s*秘",
    "関係者限り": r"関係者(?:限り|のみ|外秘)",
    "客先支給": r"客先(?:より)?支給",
    "持出禁止": r"持ち?出し?(?:厳)?禁止?",
    "秘": r"㊙|[マ丸○〇]秘|(?<![^\W_])秘(?![^\W_])",
    "CONFIDENTIAL": r"(?<![A-Za-z])(?i:confidential)(?![A-Za-z])",
}
MARKS = tuple(_SPELLED)
"""As policy.toml names them."""

_BRACKETS = r"【】［］\[\]〔〕《》"
_ORNAMENT = rf"[ \t\u3000{_BRACKETS}（）()＜＞<>〈〉「」『』■●◆★☆※*＊!！・_=―-]*"
_AFTER = r"(?:\s*(?:文書|資料|情報|図面|扱い))?"
_ANYWHERE = {mark: re.compile(spelled) for mark, spelled in _SPELLED.items()}
_SET_AS_MARK = {
    mark: re.compile(
        rf"^{_ORNAMENT}(?:{spelled}){_AFTER}{_ORNAMENT}$"
        rf"|[{_BRACKETS}]\s*(?:{spelled}){_AFTER}\s*[{_BRACKETS}]"
        rf"|(?:機密|秘密|情報|文書)区分\s*[:：|]?\s*(?:{spelled})",
        re.MULTILINE,
    )
    for mark, spelled in _SPELLED.items()
}
_AT_AN_END = {
    mark: re.compile(rf"(?:^|\s){_ORNAMENT}(?:{spelled}){_ORNAMENT}(?:\s|$)") for mark, spelled in _SPELLED.items()
}
_ENDS, _LONGEST_END = 5, 200  # lines; characters


def in_name(name: str) -> frozenset[str]:
    """Those in a path, folders included."""
    return _found(_ANYWHERE, name)


def in_text(text: str, around: str) -> frozenset[str]:
    """Those in a file that was read."""
    lines = [line for line in text.split("\n") if line.strip()]
    # Longer ones are no heads or feet, and a line of a million blanks would take the pattern its square.
    ends = (_found(_AT_AN_END, line) for line in lines[:_ENDS] + lines[-_ENDS:] if len(line) <= _LONGEST_END)
    said = _found(_ANYWHERE, text)  # by far most files have none: the rest is for the others
    as_marks = _found({mark: _SET_AS_MARK[mark] for mark in said}, text.replace(" | ", "\n"))
    return _found(_ANYWHERE, around) | as_marks.union(*ends)


def _found(patterns: dict[str, re.Pattern[str]], text: str) -> frozenset[str]:
    found = {mark for mark, pattern in patterns.items() if pattern.search(text)}
    return frozenset(found)
