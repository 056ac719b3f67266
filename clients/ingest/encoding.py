"""Bytes -> text: which of the encodings that Japanese files come in.

A ladder from proof to likelihood: byte order mark, UTF-16 by its NULs, ISO-2022-JP (its escapes), UTF-8 (hardly
anything else is valid UTF-8 by chance), and then CP932 against EUC-JP, whichever reads more like everyday Japanese.
Decoding is strict throughout: a file that is partly in another encoding is refused, never patched with replacement
characters. Only a last character that is cut in the middle is left out, as in a log that is being written.
"""

import codecs
import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from clients.ingest.content import Unusable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ESCAPES = re.compile(rb"\x1b(?:\$[@B]|\$\([DOPQ]|\([BJI])")
_SHIFTED_OUT = re.compile(rb"\x0e([^\x0e\x0f\x1b]*)\x0f")  # half-width kana as old programs write them
_DECLARED = re.compile(rb"""charset\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)
_NAMES = {"shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932", "x-sjis": "cp932", "windows-31j": "cp932"} | {
    name: name for name in ("cp932", "euc-jp")
}
# What speaks for each before a byte is read. Half-width kana in CP932 and kanji in EUC-JP are the same bytes (ｲｹﾅﾙｷﾗ is
# 温度計); where a file has nothing else, the former is likelier at a factory.
_CANDIDATES = {"cp932": 0.2, "euc-jp": 0.0}
_CLOSE = 0.1  # scores nearer than this are no difference: then a page's own claim decides
_PLAUSIBLE, _LEAST = 0.6, 0.35  # ordinary Japanese scores 0.7 to 0.9; below the least it is not Japanese at all
_USUAL, _RARE = 0.7, 0.1  # the everyday kanji (JIS level 1), and the others
_KANA = re.compile("[\u3041-\u30fe\uff66-\uff9f]")
_FEWEST_KANJI, _RARE_SHARE = 12, 0.15
_START = 4096  # bytes
_SAMPLE = 200_000  # characters that a score is taken from


class Decoded(NamedTuple):
    """`sure`: 1 when the bytes prove the encoding; about 0.5 says that the other would have been as good."""

    text: str
    encoding: str
    sure: float


def decode(data: bytes) -> Decoded:
    """The text, without a byte order mark, lines as they are. Raises Unusable when no encoding fits."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return Decoded(_strict(data[len(mark) :], encoding), encoding, 1.0)
    if encoding := _utf_16(data[:_START]):
        with contextlib.suppress(UnicodeDecodeError):
            text = _whole(data, encoding)
            if _score(text + "\n") >= _LEAST:
                return Decoded(text, encoding, 0.9)
    data = data.rstrip(b"\0")  # room that a logger reserved
    if _ESCAPES.search(data) and max(data) < 0x80:
        return Decoded(_iso_2022_jp(data), "iso-2022-jp", 1.0)
    try:
        return Decoded(_whole(data, "utf-8"), "utf-8", 1.0)
    except UnicodeDecodeError:
        return _by_score(data)


def _utf_16(start: bytes) -> str:
    """Which one, without its mark, as some PLCs write; or nothing. Every line end, digit and tab has a NUL in its
    second byte (little-endian) or in its first, and none in the other."""
    least, firsts, seconds = len(start) // 10, start[::2].count(0), start[1::2].count(0)
    if seconds > least and not firsts:
        return "utf-16-le"
    return "utf-16-be" if firsts > least and not seconds else ""


def _whole(data: bytes, encoding: str, errors: str = "strict") -> str:
    """All but a last character that is cut. Raises UnicodeDecodeError."""
    return codecs.getincrementaldecoder(encoding)(errors).decode(data, final=False)


def _by_score(data: bytes) -> Decoded:
    texts = {name: text for name in _CANDIDATES for text in _attempts(data, name)}
    scores = {name: _score(text) for name, text in texts.items() if name != "euc-jp" or not _is_chinese(text)}
    likely = {name: score for name, score in scores.items() if score >= _LEAST}
    if not likely:
        raise Unusable(
            "in no encoding that is read (UTF-8, UTF-16 with a mark, CP932, EUC-JP, ISO-2022-JP)",
            "対応する文字コードではありません（UTF-8、BOM 付き UTF-16、CP932、EUC-JP、ISO-2022-JP）",
        )
    weighed = {name: score + _CANDIDATES[name] for name, score in likely.items()}
    first, *others = sorted(weighed, key=weighed.__getitem__, reverse=True)
    if others and weighed[first] - weighed[others[0]] < _CLOSE and _declared(data) == others[0]:
        first, others = others[0], [first]
    rival = sum(scores.values()) - scores[first]
    sure = min(1.0, scores[first] / _PLAUSIBLE) * scores[first] / (scores[first] + rival)
    return Decoded(texts[first], first, round(sure, 3))


def _attempts(data: bytes, name: str) -> Iterator[str]:
    with contextlib.suppress(UnicodeDecodeError):
        yield _whole(data, name, _WINDOWS if name == "euc-jp" else "strict")


def _windows_in_euc(error: UnicodeError) -> tuple[str, int]:
    """What Windows writes into EUC-JP where the standard has nothing (CP51932, eucJP-ms): ①, ㈱, 髙, 﨑. In two bytes
    at the rows of CP932, in three by a list of their own."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    start, data = error.start, error.object
    lead, *cells = data[start : start + 3]
    if lead == _THREE_BYTES and len(cells) == 2 and 0 <= (at := (cells[0] - 0xF3) * 94 + cells[1] - 0xF3) < len(_LAST):
        return _LAST[at], start + 3
    row, cell = lead - 0xA0, cells[0] - 0xA0 if cells else 0
    if not (0 < row < 95 and 0 < cell < 95):
        raise error
    high = (row - 1) // 2 + (0x81 if row < 63 else 0xC1)
    low = cell + (0x9E if row % 2 == 0 else 0x3F if cell < 64 else 0x40)
    try:
        return bytes([high, low]).decode("cp932"), start + 2
    except UnicodeDecodeError:
        raise error from None


def _only_windows() -> str:
    """What eucJP-ms has from 8F F3 F3 on: IBM's extensions in their order, but for what JIS X 0208 and 0212 have."""
    found = []
    for code in (bytes([high, low]) for high in (0xFA, 0xFB, 0xFC) for low in range(0x40, 0xFD)):
        with contextlib.suppress(UnicodeDecodeError):
            found.append(code.decode("cp932"))
    return "".join(
        sign for sign in found if sign == "№" or (sign not in "￢￤" and sign.encode("euc_jp", "replace") == b"?")
    )


_THREE_BYTES = 0x8F
_LAST = _only_windows()
_WINDOWS = "rengo: Windows in EUC-JP"
codecs.register_error(_WINDOWS, _windows_in_euc)


def _iso_2022_jp(data: bytes) -> str:
    data = _SHIFTED_OUT.sub(lambda kana: b"\x1b(I" + kana[1] + b"\x1b(B", data)
    try:
        return data.decode("iso2022_jp_ext")
    except UnicodeDecodeError:
        # The same for mail programs of Windows: JIS X 0213's plane 1 has JIS X 0208 and those signs.
        return _strict(re.sub(rb"\x1b\$[@B]", b"\x1b$(O", data), "iso2022_jp_3")


def _strict(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.upper()
        raise Unusable(
            f"marked as {name}, but is not (byte {error.start})",
            f"{name} の印がありますが、そうではありません（{error.start} バイト目）",
        ) from error


def _declared(data: bytes) -> str | None:
    claim = _DECLARED.search(data[:2048])
    return _NAMES.get(claim[1].decode("ascii", "replace").lower()) if claim else None


def _score(text: str) -> float:
    """How everyday the characters beyond ASCII are: their mean weight."""
    weights = [_weight(character) for character in text[:_SAMPLE] if not " " <= character <= "~"]
    return sum(weights) / len(weights) if weights else 0.0


def _is_chinese(text: str) -> bool:
    """Whether what was taken for EUC-JP may be GB 2312, which has the same bytes: sentences whose kanji are rare often,
    without kana. Japanese without kana is no sentences, but tables and lists."""
    weights = [_weight(character) for character in text[:_SAMPLE] if "\u4e00" <= character <= "\u9fff"]
    rare = weights.count(_RARE)
    if _KANA.search(text) or len(weights) < _FEWEST_KANJI:
        return False
    return "。" in text and rare > _RARE_SHARE * len(weights)


def _weight(character: str) -> float:
    if character in "\t\r\n":
        return 0.7
    if "\u3041" <= character <= "\u3096":
        return 1.0
    if "\u30a1" <= character <= "\u30fe" or character in "、。「」（）・：　～〜":
        return 0.9
    if "\uff66" <= character <= "\uff9f":
        return 0.55
    if character < " " or "\uff61" <= character <= "\uff65" or "\ue000" <= character <= "\uf8ff":
        return 0.0  # half-width punctuation is what most of EUC-JP looks like when it is taken for CP932
    encoded = character.encode("euc_jp", "replace")
    row = encoded[0] - 0xA0 if len(encoded) == 2 else 0
    if 16 <= row <= 47:
        return _USUAL
    return 0.6 if row in (1, 2, 3) or character in _SIGNS else _RARE


_SIGNS = frozenset("①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳ⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩ㎜㎝㎞㎎㎏㏄㎡№㏍℡㈱㈲㈹μΩΦφα髙﨑－～")
