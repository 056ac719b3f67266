"""One check of `rengo member doctor`: what was looked at, what was found, how to mend it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.cells import cell_len

from federation.commands import Words
from federation.errors import Language, RengoError

NOTHING: Words = {"en": "", "ja": ""}
_LANGUAGES: tuple[Language, Language] = ("en", "ja")


@dataclass(frozen=True)
class Check:
    """`exit_code`: 0 when nothing has to be done. `warns`: it works, but somebody should know. `checked`: whether it
    was looked at, which makes no sense after what it needs has failed."""

    name: str
    found: Words
    mend: Words = field(default_factory=lambda: NOTHING)
    exit_code: int = 0
    warns: bool = False
    checked: bool = True

    @property
    def result(self) -> str:
        """ok, warning, failed or not checked: for programs."""
        if not self.checked:
            return "not checked"
        return "failed" if self.exit_code else "warning" if self.warns else "ok"


def fine(name: str, en: str, ja: str) -> Check:
    """All is as it should be."""
    return Check(name, {"en": en, "ja": ja})


def warning(name: str, found: tuple[str, str], mend: tuple[str, str]) -> Check:
    """It works, but somebody should know. Both in English and Japanese."""
    return Check(name, dict(zip(_LANGUAGES, found, strict=True)), dict(zip(_LANGUAGES, mend, strict=True)), warns=True)


def failed(name: str, error: RengoError) -> Check:
    """What `error` says; its message says how to mend it."""
    return Check(name, {"en": error.text("en"), "ja": error.text("ja")}, exit_code=error.exit_code)


def not_checked(name: str, failing: str) -> Check:
    """`failing`, which it needs, is not as it should be."""
    return Check(name, {"en": f"mend first: {failing}", "ja": f"先に{_NAMES[failing]}を直してください"}, checked=False)


def tried(name: str, look: Callable[[], Check]) -> Check:
    """What `look` finds, or the error that it raises."""
    try:
        return look()
    except RengoError as error:
        return failed(name, error)


def worst(checks: Sequence[Check]) -> int:
    """The exit code of the whole. Not a larger number but what keeps most from working is worst: disk and network
    before the clock, the clock before tokens, and so on down to what merely waits."""
    found = {check.exit_code for check in checks}
    return next((code for code in (70, 7, 5, 6, 4, 10, 3, 8, 11, 9, 2) if code in found), 0)


def facts(checks: Sequence[Check], language: Language) -> dict[str, Any]:
    """For a program."""
    rows = [
        {
            "check": check.name,
            "result": check.result,
            "found": check.found[language],
            "mend": check.mend[language],
            "exit_code": check.exit_code,
        }
        for check in checks
    ]
    return {"exit_code": worst(checks), "checks": rows}


_NAMES: Mapping[str, str] = {
    "state folder": "状態フォルダー",
    "disk": "ディスク",
    "memory": "メモリー",
    "terminal": "端末",
    "versions": "バージョン",
    "policy": "社内許可条件",
    "name server": "名前解決 (DNS)",
    "proxy": "プロキシ",
    "TLS": "TLS",
    "carrier": "通信路 (Flower)",
    "coordinator": "事務局",
    "clock": "時計",
    "base model": "基盤モデル",
    "parser": "文書の解析",
    "data": "データ",
    "training": "学習",
    "member": "参加拠点",
}
_RESULTS: Mapping[Language, Mapping[str, str]] = {
    "en": {"ok": "ok", "warning": "warning", "failed": "FAILED", "not checked": "not checked"},
    "ja": {"ok": "正常", "warning": "注意", "failed": "異常", "not checked": "未確認"},
}


def table(checks: Sequence[Check], language: Language) -> str:
    """check, result, what was found; below a row, how to mend it."""
    rows = [(_NAMES[c.name] if language == "ja" else c.name, _RESULTS[language][c.result], c) for c in checks]
    # A row's first two parts are text, which mypy does not see through an index that varies.
    widths = [max(cell_len(row[column]) for row in rows) for column in (0, 1)]  # type: ignore[arg-type]
    lines = []
    for name, result, check in rows:
        lines.append(f"{_wide(name, widths[0])}  {_wide(result, widths[1])}  {check.found[language]}")
        if check.mend[language]:
            lines.append(" " * (sum(widths) + 4) + "-> " + check.mend[language])
    return "\n".join(lines)


def _wide(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
