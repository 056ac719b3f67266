"""Which files are read, by the end of their names, and why others are not. `readers` has the reader of each kind."""

from clients.ingest.content import Unusable

KINDS = frozenset(
    {
        ".csv",
        ".docm",
        ".docx",
        ".htm",
        ".html",
        ".markdown",
        ".md",
        ".pdf",
        ".pptm",
        ".pptx",
        ".tsv",
        ".txt",
        ".xlsm",
        ".xlsx",
        ".zip",
    }
)
IN_WORDS = ", ".join(sorted(KINDS))

# What sites have much of and what is not read, each with what to do about it.
_OLD = {".doc": ".docx", ".xls": ".xlsx", ".ppt": ".pptx", ".xlsb": ".xlsx", ".rtf": ".docx", ".jtd": ".docx"}
_DOCUWORKS = (".xdw", ".xbd")


def suffix_of(name: str) -> str:
    """What the name ends with, from its last point on, in lower case; a name without one has none."""
    _, point, end = name.rpartition(".")
    return (point + end).lower() if point else ""


def not_read(name: str) -> Unusable:
    """Why a file that is of none of KINDS is set aside."""
    suffix = suffix_of(name)
    if suffix in _OLD:
        new = _OLD[suffix]
        return Unusable(f"a {suffix} file: save it as {new}", f"{suffix} 形式です（{new} で保存し直してください）")
    if suffix in _DOCUWORKS:
        return Unusable("a DocuWorks file: export it as PDF", "DocuWorks 文書です（PDF に変換してください）")
    return Unusable(f"not a kind of file that is read ({IN_WORDS})", f"対応する形式（{IN_WORDS}）ではありません")


def is_passed_over(file_name: str) -> bool:
    """Hidden files, and the lock files that Office writes beside an open document."""
    return file_name.startswith((".", "~$"))


def passed_over() -> Unusable:
    """The reason of such a file."""
    return Unusable("a hidden or temporary file", "隠しファイルまたは一時ファイルです")
