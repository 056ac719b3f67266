"""Is a written answer right? Exact match, character F1, numbers with their units, part numbers, solutions that end in a
number.

docs/evaluation.md defines them. All compare `folded` texts: the same characters in another width, or with other blanks,
are the same answer.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

_SAME = dict.fromkeys("‐‑‒–—―−", "-") | {"〜": "~", "・": "·", "⋅": "·"}
_AROUND = " 。、.,「」『』\"'"

_NUMBER = re.compile(
    r"(?<![A-Za-z0-9.,±+-])"
    r"(?P<sign>[±+-]?)(?P<value>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)(?![.,]?\d)"
    # Hiragana is grammar (2 mm です), and 以上, 以下, 以内 and 未満 are no part of a unit.
    r"(?P<unit>(?:[^\W\d_ぁ-ん以未]|[%‰°])(?:[^\W_ぁ-ん以未]|[%‰°/·^])*)?"
)
_SOLVED = re.compile(r"-?\d+(?:\.\d+)?")
_PART = re.compile(r"[A-Za-z0-9]+(?:[-/._][A-Za-z0-9]+)*")


def folded(text: str) -> str:
    """`text` in the form in which answers are compared: compatibility characters as in NFKC (０．０２㎜ is 0.02mm), but
    for raised, circled and other such numbers, where NFKC would change a value (10² is not 102, ① not 1); one hyphen,
    one wave, one middle dot; blanks only between two digits; no full stop, comma or quotation mark at either end."""
    letters = unicodedata.normalize("NFC", "".join(map(_folded_letter, text)))
    return re.sub(r"(?<!\d) | (?!\d)", "", " ".join(letters.split())).strip(_AROUND)


def _folded_letter(letter: str) -> str:
    if unicodedata.category(letter) == "No":
        return letter
    form, *codes = unicodedata.decomposition(letter).split() or [""]
    if form.startswith("<"):
        return "".join(_folded_letter(chr(int(code, 16))) for code in codes)
    return _SAME.get(letter, letter)


def exact(written: str, answers: Sequence[str]) -> bool:
    """Whether `written` is one of `answers`."""
    return folded(written) in map(folded, answers)


def character_f1(written: str, answers: Sequence[str]) -> float:
    """The harmonic mean of two shares: of the characters of `written` those that are in the answer, and the other way
    round, as often as each occurs (Rajpurkar et al. 2016, with characters for words). Of several answers the best."""
    return max(_f1(folded(written), folded(answer)) for answer in answers)


def _f1(one: str, other: str) -> float:
    shared = sum((Counter(one) & Counter(other)).values())
    return 2 * shared / (len(one) + len(other)) if shared else 0.0


Number = tuple[bool, Decimal, str]
"""Whether it is ±, the value, the unit."""


def is_number(answer: str) -> bool:
    """Whether `answer` is a number, with or without a unit, and nothing else."""
    return _NUMBER.fullmatch(folded(answer)) is not None


def same_number(written: str, answers: Sequence[str]) -> bool:
    """Whether the first number in `written` has the value and the unit of one of `answers`: 1,200 is 1200, 5 mm is
    neither 5 cm nor 5."""
    found = _NUMBER.search(folded(written))
    whole = [number for answer in answers if (number := _NUMBER.fullmatch(folded(answer)))]
    return found is not None and _number(found) in map(_number, whole)


def _number(found: re.Match[str]) -> Number:
    sign, value = found["sign"], found["value"].replace(",", "")
    return sign == "±", Decimal(value if sign == "±" else sign + value), found["unit"] or ""


def same_part(written: str, answers: Sequence[str]) -> bool:
    """Whether the first run of Latin letters and digits in `written`, joined by - / . or _, is one of `answers`; case
    does not count, hyphens do."""
    found = _PART.search(folded(written))
    return found is not None and found.group().upper() in (folded(answer).upper() for answer in answers)


def solved(solution: str) -> Decimal | None:
    """The number that a solution comes to: the first behind "the answer is", or where that does not stand the last one;
    commas within it do not count."""
    _, *behind = solution.lower().split("the answer is")
    numbers = _SOLVED.findall((behind[0] if behind else solution).replace(",", ""))
    return Decimal(numbers[0 if behind else -1]) if numbers else None


def same_solution(written: str, answers: Sequence[str]) -> bool:
    """Whether `written` comes to the number of one of `answers`."""
    found = solved(written)
    return found is not None and found in map(solved, answers)
