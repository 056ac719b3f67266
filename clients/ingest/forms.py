"""Characters that are written in an unusual way, as everybody writes them.

All of Unicode's NFKC would be too much: it makes 1 of ①, ~ of ～ and mm of ㎜. So this is a list of what loses nothing.
"""

import re
import unicodedata

_UNUSUAL = re.compile(
    "[か-と\u3046\u306f-\u307bカ-トウハ-ホワ-ヲゝヽ][\u3099\u309a]"  # か + ゛, as in names and texts from a Mac
    "|[\u2f00-\u2fd5\u2e9f\u2ef3]"  # radicals for the kanji that look the same, as some PDFs have them
    "|[\ufb00-\ufb06]"  # ﬁ
    "|\u00a0"  # a blank that does not break
    "|[\u00ad\u200b\u2060\ufeff]"  # what cannot be seen
)
_INVISIBLE = frozenset("\u00ad\u200b\u2060\ufeff")


def usual_forms(text: str) -> tuple[str, int]:
    """`text` with characters that are written in an unusual way as everybody writes them, and how many there were."""
    return _UNUSUAL.subn(lambda found: "" if found[0] in _INVISIBLE else unicodedata.normalize("NFKC", found[0]), text)
