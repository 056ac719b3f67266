"""Whether what was taken from a page is text at all: fonts may not say what they show, and recognition may have failed."""

import re
import unicodedata
from collections.abc import Sequence

_GARBLED_SHARE = 0.05  # of a text's characters: replacement, private-use and control characters
_JAPANESE = re.compile(r"[\u3041-\u30fe\u4e00-\u9fff]")


def is_garbled(text: str) -> bool:
    """Whether its characters are none that a text has."""
    inked = [character for character in text if not character.isspace()]
    bad = sum(
        character in "\ufffd\ufffe\uffff" or unicodedata.category(character) in ("Cc", "Co", "Cn")
        for character in inked
    )
    return bad + 7 * text.count("(cid:") > _GARBLED_SHARE * len(inked)


def is_poor_recognition(lines: Sequence[str]) -> bool:
    return False
