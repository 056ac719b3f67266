"""Which files their own names say are out of date: in a folder for old ones, or with a newer 改訂 beside them."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

_FOLDERS = (
    "旧|旧版|旧資料|旧データ|旧ファイル|旧文書|旧図面?|廃版|廃番|廃止|廃止版|廃止文書|廃棄|old|obsolete|superseded"
)
_OLD = re.compile(rf"[\d\W_]*(?:{_FOLDERS})[\d\W_]*", re.IGNORECASE)
_SAID = (
    r"(?:改[訂定])?第?(?P<edition>\d{1,3}|[一二三四五六七八九十])版",
    r"改[訂定]?第?(?P<change>\d{1,3}|[A-Z])",
    r"(?<![A-Za-z])(?:rev(?:ision)?|ver(?:sion)?)[\s._-]*(?P<word>\d{1,3}(?:\.\d{1,3})*|[A-Z])",
    r"(?<=[\s_.(\[-])v(?P<letter>\d{1,3}(?:\.\d{1,3})*)",
)
# At a name's end, after NFKC, with brackets and blanks around it: 第3版, 改訂2, 改2, Rev.3, rev_B, Ver2.1, _v2.
_REVISION = re.compile(rf"[\s_.(\[【〈<-]*(?:{'|'.join(_SAID)})[\s)\]】〉>]*", re.IGNORECASE)
_KANJI = {character: number for number, character in enumerate("一二三四五六七八九十", 1)}


def in_old_folder(name: str) -> bool:
    """Whether a folder in the path is one for old files (旧, 旧版, 廃版, old …)."""
    return any(_OLD.fullmatch(folder) for folder in name.split("/")[:-1])


def superseded(names: Iterable[str]) -> frozenset[str]:
    """Those with a newer revision in the same folder, of whatever format. Of names that differ in nothing else, the one
    that says no revision is the oldest."""
    families = defaultdict[str, list[tuple[tuple[int, ...], str]]](list)
    for name in names:
        base, revision = _taken_apart(name)
        families[base].append((revision, name))
    return frozenset(name for family in families.values() for revision, name in family if revision < max(family)[0])


def _taken_apart(name: str) -> tuple[str, tuple[int, ...]]:
    """(path without revision and suffix, the revision)."""
    folder, _, file = name.rpartition("/")
    stem = unicodedata.normalize("NFKC", file.rpartition(".")[0] or file)
    for found in _REVISION.finditer(stem):
        if found.end() == len(stem) and found.start():
            said = next(filter(None, found.groups()))
            return f"{folder}/{stem[: found.start()]}".casefold(), tuple(map(_number, said.split(".")))
    return f"{folder}/{stem}".casefold(), ()


def _number(said: str) -> int:
    if said.isdecimal():
        return int(said)
    return _KANJI.get(said) or ord(said.upper()) - ord("A") + 1
