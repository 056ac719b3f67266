"""Which files are read, by the end of their names. `readers` has the reader of each."""

from clients.ingest.content import Unusable

KINDS = frozenset({".csv", ".docx", ".htm", ".html", ".pdf", ".txt"})
IN_WORDS = ", ".join(sorted(KINDS))


def suffix_of(name: str) -> str:
    """What the name ends with, from its last point on, in lower case; a name without one has none."""
    _, point, end = name.rpartition(".")
    return (point + end).lower() if point else ""


def not_read() -> Unusable:
    """The reason to set any other file aside."""
    return Unusable(f"not a kind of file that is read ({IN_WORDS})", f"対応する形式（{IN_WORDS}）ではありません")
