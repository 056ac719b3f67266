"""What each member's documents are about: for the question whether a result hangs on one domain alone."""

import json
from collections.abc import Sequence
from pathlib import Path

from federation.errors import RengoError


class DomainsInvalid(RengoError):
    """{path} (`data.domains`) does not say every member's domain: {detail}. It is a JSON object: member to domain."""

    ja = "{path}（`data.domains`）に全拠点の分野がありません: {detail}。拠点名と分野の JSON オブジェクトです。"
    exit_code = 8


def domains_of(members: Sequence[str], file: Path | None) -> dict[str, str]:
    """Member -> domain, as a JSON object in `file` says; without a file each member is a domain of its own.

    Raises DomainsInvalid for a file that leaves a member out, or is none.
    """
    if file is None:
        return {member: member for member in members}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {member: str(found[member]) for member in members}
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise DomainsInvalid(path=file, detail=f"{type(error).__name__}: {error}") from error
