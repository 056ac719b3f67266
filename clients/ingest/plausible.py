"""Whether what was taken from a page is text at all: fonts may not say what they show, and recognition of characters
may have failed.

Only gross failure can be told: recognisers of today guess by what is usual, and their mistakes look like text.
"""

import re
import unicodedata
from collections import Counter

_GARBLED_SHARE = 0.05  # of a text's characters: replacement, private-use and control characters
_ODD_SHARE = 0.06  # of recognised text: those, and kanji that are hardly ever written
_SIGN_SHARE = 0.3  # of recognised text: what is no letter, figure, kana or kanji
_PIECES_SHARE = 0.35  # of the words of recognised text without Japanese: single letters and signs
_UNLIKE_SHARE = 0.25  # of its longer words: such as no language has
_LONG_WORD, _CONSONANTS = re.compile(r"[A-Za-z]{5,}"), re.compile(r"[b-df-hj-np-tv-xz]{5}", re.IGNORECASE)
_MIXED = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]")
_FEWEST = 30  # characters, to judge by
_JAPANESE = r"[\u3041-\u30fe\u4e00-\u9fff々]"
_IS_JAPANESE = re.compile(_JAPANESE)
_JAPANESE_SHARE = 0.05
_SPACED = re.compile(rf"(?<={_JAPANESE[:-1]}、。，．・「」（）]) +(?={_JAPANESE[:-1]}、。，．・「」（）])")


def is_garbled(text: str) -> bool:
    """Whether its characters are none that a text has."""
    counts = Counter(text)
    inked = sum(count for character, count in counts.items() if not character.isspace())
    none = sum(count for character, count in counts.items() if not character.isspace() and _is_none(character))
    return none + 7 * text.count("(cid:") > _GARBLED_SHARE * inked


def is_poor_recognition(text: str) -> bool:
    """Whether recognised text is no Japanese, and no other language either."""
    inked = [character for character in text if not character.isspace()]
    if len(inked) < _FEWEST:
        return False
    odd = sum(_is_none(character) or _is_rare(character) for character in inked)
    signs = sum(not character.isalnum() and character not in "ー、。・「」（）" for character in inked)
    if odd > _ODD_SHARE * len(inked) or signs > _SIGN_SHARE * len(inked):
        return True
    if len(_IS_JAPANESE.findall(text)) > _JAPANESE_SHARE * len(inked):
        return False
    words, long_words = text.split(), _LONG_WORD.findall(text)
    pieces, unlike = sum(len(word) == 1 for word in words), sum(map(_is_no_word, long_words))
    return pieces > _PIECES_SHARE * len(words) or unlike > _UNLIKE_SHARE * len(long_words)


def without_gaps(text: str) -> str:
    """Recognised Japanese without the blanks that recognisers write between its words or characters."""
    return _SPACED.sub("", text.rstrip())


def _is_no_word(word: str) -> bool:
    return len(word) > 18 or _CONSONANTS.search(word) is not None or _MIXED.search(word) is not None


def _is_none(character: str) -> bool:
    return character in "\ufffd\ufffe\uffff" or unicodedata.category(character) in ("Cc", "Co", "Cn")


def _is_rare(character: str) -> bool:
    """A kanji that is not among the 2,965 of JIS level 1."""
    if not "\u4e00" <= character <= "\u9fff":
        return False
    encoded = character.encode("euc_jp", "replace")
    return len(encoded) != 2 or encoded[0] - 0xA0 > 47
