"""Which files their own names say are out of date: in a folder or archive for old ones, or with a newer 改訂 beside
them or beside the archive that they are in."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

_FOLDERS = (
    "旧|旧版|旧資料|旧データ|旧ファイル|旧文書|旧図面?|廃版|廃番|廃止|廃止版|廃止文書|廃棄|old|obsolete|superseded"
)
_OLD = re.compile(rf"[\d\W_]*(?:{_FOLDERS})(?:フォルダー?|一式|類)?[\d\W_]*", re.IGNORECASE)
_ARCHIVE = ".zip"
_SAID = (
    r"(?:改[訂定])?第?(?P<edition>\d{1,3}|[一二三四五六七八九十]{1,3})版",
    r"改[訂定]?第?(?P<change>\d{1,3}|[A-Z])",
    r"(?<![A-Za-z])(?:rev(?:ision)?|ver(?:sion)?)[\s._-]*(?P<word>\d{1,3}(?:\.\d{1,3})*|[A-Z])",
    r"(?<=[\s_.(\[-])v(?P<letter>\d{1,3}(?:\.\d{1,3})*)",
)
# At a name's end, after NFKC, with brackets and blanks around it: 第3版, 改訂2, 改2, Rev.3, rev_B, Ver2.1, _v2.
_REVISION = re.compile(rf"[\s_.(\[【〈<-]*(?:{'|'.join(_SAID)})[\s)\]】〉>]*", re.IGNORECASE)
_KANJI = {character: number for number, character in enumerate("一二三四五六七八九十", 1)}  # up to 九十九


def in_old_folder(name: str) -> bool:
    """Whether a folder or archive in the path is one for old files (旧, 旧版, 廃版, old, 旧版.zip …)."""
    return any(_OLD.fullmatch(_folded(folder)) for folder in name.split("/")[:-1])


def superseded(names: Iterable[str]) -> frozenset[str]:
    """Those with a newer revision in the same folder, of whatever format, and those in an archive with a newer one
    beside it. Of names that differ in nothing else, the one that says no revision is the oldest."""
    names = list(names)
    within = {name: _archives(name) for name in names}
    outdated, archives = _outdated(names), _outdated({archive for above in within.values() for archive in above})
    return frozenset(name for name in names if name in outdated or not archives.isdisjoint(within[name]))


def _outdated(names: Iterable[str]) -> frozenset[str]:
    families = defaultdict[str, list[tuple[tuple[int, ...], str]]](list)
    for name in names:
        base, revision = _taken_apart(name)
        families[base].append((revision, name))
    return frozenset(name for family in families.values() for revision, name in family if revision < max(family)[0])


def _archives(name: str) -> tuple[str, ...]:
    """The archives that it lies in, each with its path."""
    parts = name.split("/")
    return tuple("/".join(parts[:end]) for end in range(1, len(parts)) if _is_archive(parts[end - 1]))


def _is_archive(folder: str) -> bool:
    return folder.casefold().endswith(_ARCHIVE)


def _folded(folder: str) -> str:
    return unicodedata.normalize("NFKC", folder[: -len(_ARCHIVE)] if _is_archive(folder) else folder)


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
    if said[0] not in _KANJI:
        return ord(said.upper()) - ord("A") + 1
    tens, ten, ones = said.rpartition("十")
    return (10 * _KANJI.get(tens, 1) if ten else 0) + _KANJI.get(ones, 0)
