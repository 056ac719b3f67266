"""Text that somebody else wrote, as a person may be shown it: nothing in it moves the cursor, turns the direction of
writing, or cannot be seen."""

import unicodedata

# Unicode's general categories: controls (ESC, newline), formats (bidi, zero width), surrogates, line and paragraph
# separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def is_printable(text: str) -> bool:
    """Whether `printable` leaves it as it is."""
    return not any(unicodedata.category(character) in _UNPRINTABLE for character in text)


def printable(text: str) -> str:
    """`text` on one line, with each character that is not for reading as its escape, such as `\\x1b` or `\\u202e`."""
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in _UNPRINTABLE else character
        for character in text
    )


def printable_lines(text: str) -> str:
    """`printable` of each line; the lines are ours."""
    return "\n".join(map(printable, text.split("\n")))
