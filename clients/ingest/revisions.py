"""Which files their own names say are out of date: in a folder or archive for old ones, or with a newer 改訂 beside
them or beside the archive that they are in."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

# Not 旧 before anything: 旧型 and 旧工場 are machines and places that may be in use. Nor 過去データ: logs are that.
_DOCUMENTS = (
    "版|バージョン|資料|データ|ファイル|文書|書類|図面?|手順書?|マニュアル|仕様書?|取扱説明書|取説|様式|帳票"
    "|規[程定格]|基準書?"
)
_STALE = f"旧(?:{_DOCUMENTS})|廃[版番止棄]済?(?:{_DOCUMENTS})?|過去版"
_OLD = re.compile(
    rf"[\d\W_]*(?:(?:旧・)?(?:{_STALE})(?:[\s_(・].{{0,12}})?|旧|old|obsolete|superseded)"
    r"(?:フォルダー?|一式|類)?[\d\W_]*",
    re.IGNORECASE,
)
# In a file's own name: by itself, between signs or blanks, as in 手順_旧版 and 【廃版】手順.
_OLD_FILE = re.compile(
    rf"(?<![^\W_])(?:{_STALE}|obsolete|superseded)(?![^\W_])|(?:^|[_(\[【〈<])(?:旧|old)[_)\]】〉>]|_(?:旧|old)$",
    re.IGNORECASE,
)
_ARCHIVE = ".zip"
_SAID = (
    r"(?:改[訂定])?第?(?P<edition>\d{1,3}|[一二三四五六七八九十]{1,3}|初)版",
    r"改[訂定]?第?(?P<change>\d{1,3}|[A-Z])",
    r"(?<![A-Za-z])(?:rev(?:ision)?|ver(?:sion)?)[\s._-]*(?P<word>\d{1,3}(?:\.\d{1,3})*|[A-Z])",
    r"(?<=[\s_.(\[-])v(?P<letter>\d{1,3}(?:\.\d{1,3})*)",
)
# At a name's end, after NFKC, with brackets and blanks around it: 第3版, 改訂2, 改2, Rev.3, rev_B, Ver2.1, _v2.
_REVISION = re.compile(
    rf"[\s_.(\[【〈<-]*(?:{'|'.join(_SAID)})[\s)\]】〉>]*(?:\([\d年月日版./-]{{1,12}}\))?", re.IGNORECASE
)
_LONGEST = 100  # characters that are looked at: an archive's names may be as long as they like
_KANJI = {character: number for number, character in enumerate("一二三四五六七八九十", 1)}  # up to 九十九


def in_old_folder(name: str) -> bool:
    """Whether a folder or archive in the path is one for old files (旧, 旧版, 廃版, old, 旧版.zip …)."""
    return any(_OLD.fullmatch(_folded(folder)) for folder in name.split("/")[:-1])


def is_old(name: str) -> bool:
    """Whether the file's own name says so (手順_旧版.pdf, 【廃版】手順.pdf)."""
    stem = unicodedata.normalize("NFKC", name.rpartition("/")[2].rpartition(".")[0])
    return bool(_OLD_FILE.search(stem))


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
    for found in _REVISION.finditer(stem, max(0, len(stem) - _LONGEST)):
        if found.end() == len(stem) and found.start():
            said = next(filter(None, found.groups()))
            return f"{folder}/{stem[: found.start()]}".casefold(), tuple(map(_number, said.split(".")))
    return f"{folder}/{stem}".casefold(), ()


def _number(said: str) -> int:
    if said.isdecimal():
        return int(said)
    if said == "初":
        return 1
    if said[0] not in _KANJI:
        return ord(said.upper()) - ord("A") + 1
    tens, ten, ones = said.rpartition("十")
    return (10 * _KANJI.get(tens, 1) if ten else 0) + _KANJI.get(ones, 0)
