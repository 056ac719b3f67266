"""What each member's documents are about: for the question whether a result hangs on one domain alone."""

import json
from collections.abc import Sequence
from pathlib import Path

from federation.errors import DataFolderInvalid


def domains_of(members: Sequence[str], file: Path | None) -> dict[str, str]:
    """Member -> domain, as a JSON object in `file` says; without a file each member is a domain of its own.

    Raises DataFolderInvalid for a file that leaves a member out, or is none.
    """
    if file is None:
        return {member: member for member in members}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {member: str(found[member]) for member in members}
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        detail, detail_ja = f"no domain for every member in it ({error})", f"全拠点の分野がありません（{error}）"
        raise DataFolderInvalid(path=file, detail=detail, detail_ja=detail_ja) from error
