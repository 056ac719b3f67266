"""Which program wrote a stored file, and which one reads it (docs/adr/0012).

The number of a file's format is the release that introduced it: 100 is 0.1.0, 1203 would be 0.12.3. So whoever finds a
file that it cannot read knows which release to name.
"""

import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from federation.errors import Fault, MissingKey, RengoError, UnknownKey


class WrittenByNewer(RengoError):
    """{path} was written by a newer version of rengo: its form came with {needed}, and this is {here}. Nothing was
    changed. Install rengo {needed} or later."""

    ja = (
        "{path} はより新しい rengo で書き込まれています（必要な版 {needed} 以降、現在 {here}）。何も変更していません。"
        "rengo {needed} 以降を導入してください。"
    )
    exit_code = 3


class WrittenByOlder(RengoError):
    """{path} was written by an older version of rengo ({wrote}), and this one, {here}, does not read it. Nothing was
    changed. Copy the folder {folder} first; then {advice}."""

    ja = (
        "{path} は以前の rengo（{wrote}）で書き込まれており、この版 {here} では読めません。何も変更していません。"
        "まずフォルダー {folder} をコピーし、{advice_ja}。"
    )
    exit_code = 3


class OtherSettings(Fault):
    """Another version of rengo wrote this ({wrote}; here is {here}), with other settings. Make it anew, with `rengo
    coordinator plan` if it is a plan, or use it with the version that wrote it."""

    ja = (
        "別の版の rengo が書き込んだ設定です（{wrote}、現在 {here}）。"
        "作り直す（計画なら `rengo coordinator plan`）か、書き込んだ版で使用してください。"
    )


_WRITTEN_BY = re.compile("^# Written by rengo ([0-9A-Za-z.+-]{1,40})$", re.MULTILINE)


def written_by() -> str:
    """A comment for the top of a YAML file."""
    return f"# Written by rengo {version('rengo')}\n"


def other_settings(faults: Sequence[Fault], text: str) -> list[Fault]:
    """OtherSettings when all that is wrong with a file is which settings it has."""
    if not all(isinstance(fault, MissingKey | UnknownKey) for fault in faults):
        return []
    found = _WRITTEN_BY.search(text)
    return [OtherSettings(wrote=found[1] if found else "?", here=version("rengo"))]


def release(number: int) -> str:
    """The release that introduced a format: 203 -> "0.2.3"."""
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def require_readable(path: Path, found: int, known: int, advice: str, advice_ja: str) -> None:
    """`found`: the format of the file, 0 of one from before formats had numbers. `known`: the one that is read.
    `advice`: what else can be done about an older one than to install what wrote it. Raises WrittenByNewer or
    WrittenByOlder."""
    if found > known:
        raise WrittenByNewer(path=path, needed=release(found), here=version("rengo"))
    if found < known:
        wrote = release(found) if found else f"before {release(known)}"
        facts = {"wrote": wrote, "here": version("rengo"), "folder": path.parent}
        again = f"install the version that wrote it, or {advice}"
        raise WrittenByOlder(path=path, **facts, advice=again, advice_ja=f"書き込んだ版に戻すか、{advice_ja}")
