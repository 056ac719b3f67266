"""A roster as a file, on its way to the root's machine and back: canonical CBOR {roster, signature | null}."""

from pathlib import Path
from typing import Any

from aggregator.home import require_free
from federation.errors import Language, RengoError, SignatureInvalid
from federation.identity import Roster, SignedRoster
from federation.token import fingerprint, spoken
from federation.wire import Malformed, canonical_cbor, read_cbor


class RosterFileMissing(RengoError):
    """There is no file {path}. `rengo coordinator roster --out FILE` writes one."""

    ja = "{path} がありません。`rengo coordinator roster --out ファイル` で作成してください。"
    exit_code = 2


class RosterFileInvalid(RengoError):
    """{path} is not a roster that `rengo coordinator roster --out` or `rengo root sign` wrote ({detail})."""

    ja = "{path} は `rengo coordinator roster --out` または `rengo root sign` の参加者名簿ではありません（{detail}）。"
    exit_code = 10


def write(path: Path, roster: Roster, signature: bytes | None) -> None:
    """Write a roster, signed or to be signed. Raises FileInTheWay."""
    require_free(path)
    with path.open("xb") as file:
        file.write(canonical_cbor({"roster": roster.to_bytes(), "signature": signature}))


def read(path: Path) -> SignedRoster:
    """A roster and its signature, empty when there is none; nothing is verified. Raises RosterFileMissing or
    RosterFileInvalid."""
    try:
        raw = read_cbor(path.read_bytes())
        if not isinstance(raw, dict) or set(raw) != {"roster", "signature"}:
            raise Malformed(detail="it has other fields")
        return SignedRoster(Roster.from_bytes(raw["roster"]), raw["signature"] or b"")
    except FileNotFoundError as error:
        raise RosterFileMissing(path=path) from error
    except (Malformed, OSError, TypeError) as error:
        raise RosterFileInvalid(path=path, detail=str(error)) from error


def read_signed(path: Path, root: bytes) -> SignedRoster:
    """A roster that the root signed. Raises RosterFileInvalid."""
    signed = read(path)
    try:
        signed.verify(root)
    except (Malformed, SignatureInvalid) as error:
        raise RosterFileInvalid(path=path, detail=str(error)) from error
    return signed


def facts(roster: Roster) -> dict[str, Any]:
    """For a program."""
    members = [{"id": m.id, "name": m.name, "fingerprint": spoken(fingerprint(m.public_key))} for m in roster.members]
    return {"consortium": roster.consortium, "version": roster.version, "digest": roster.digest().hex()} | {
        "members": members
    }


def text(roster: Roster, language: Language) -> str:
    """For a person."""
    head = {
        "en": f"{roster.consortium}, roster {roster.version}: {len(roster.members)} members",
        "ja": f"{roster.consortium} 参加者名簿 版 {roster.version}: {len(roster.members)} 拠点",
    }[language]
    rows = [f"  {m.id:24} {m.name}\n      {spoken(fingerprint(m.public_key))}" for m in roster.members]
    return "\n".join([head, *rows])
