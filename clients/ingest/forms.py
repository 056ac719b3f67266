"""Characters that are written in an unusual way, as everybody writes them.

All of Unicode's NFKC would be too much: it makes 1 of ①, ~ of ～ and mm of ㎜. So this is a list of what loses nothing.
"""

import re
import unicodedata

_UNSEEN = "\u00ad\u200b-\u200f\u2060\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef"
"""Among them variation selectors, as word processors write them behind 辻 and 葛."""
_UNUSUAL = re.compile(
    "[か-と\u3046\u306f-\u307bカ-トウハ-ホワ-ヲゝヽ][\u3099\u309a]"  # か + ゛, as in names and texts from a Mac
    "|[\u2f00-\u2fd5\u2e9f\u2ef3]"  # radicals for the kanji that look the same, as some PDFs have them
    "|[\ufb00-\ufb06]"  # ﬁ
    "|\u00a0"  # a blank that does not break
    f"|[{_UNSEEN}]"
)
_SEEN = re.compile(f"[^{_UNSEEN}]")


def usual_forms(text: str) -> tuple[str, int]:
    """`text` with characters that are written in an unusual way as everybody writes them, and how many there were."""
    return _UNUSUAL.subn(lambda found: unicodedata.normalize("NFKC", found[0]) if _SEEN.match(found[0]) else "", text)
