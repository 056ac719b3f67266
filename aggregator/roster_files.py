"""A roster as a file, on its way to the root's machine and back: canonical CBOR {roster, root, signature | null}."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aggregator.home import require_free, write_private
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

    ja = "{path} は `rengo coordinator roster --out` または `rengo root sign` の参加者名簿ではありません{detail_ja}。"
    exit_code = 10


class RosterUnsigned(RengoError):
    """{path} is not signed yet. On the machine with the root key: `rengo root sign {path} --key root.key --out
    {path}.signed`, then publish {path}.signed."""

    ja = (
        "{path} はまだ署名されていません。ルート鍵のある機械で "
        "`rengo root sign {path} --key root.key --out {path}.signed` を実行し、{path}.signed を公開してください。"
    )
    exit_code = 9


@dataclass(frozen=True)
class RosterFile:
    """What a file holds. `root`: the root's public key as whoever wrote the file knows it, so that no other key signs
    by mistake. `signature`: empty before the root has signed."""

    roster: Roster
    root: bytes
    signature: bytes


def write(path: Path, file: RosterFile) -> None:
    """Write a roster, signed or to be signed. Raises FileInTheWay or OutputNotWritable."""
    require_free(path)
    plain = {"roster": file.roster.to_bytes(), "root": file.root, "signature": file.signature or None}
    write_private(path, canonical_cbor(plain))


def read(path: Path) -> RosterFile:
    """What `write` wrote; nothing is verified. Raises RosterFileMissing or RosterFileInvalid."""
    try:
        raw = read_cbor(path.read_bytes())
        if not isinstance(raw, dict) or set(raw) != {"roster", "root", "signature"}:
            raise Malformed(detail="it has other fields")
        root, signature = raw["root"], raw["signature"] or b""
        if type(root) is not bytes or type(signature) is not bytes:
            raise Malformed(detail="its fields have wrong types")
        return RosterFile(Roster.from_bytes(raw["roster"]), root, signature)
    except FileNotFoundError as error:
        raise RosterFileMissing(path=path) from error
    except (Malformed, OSError, TypeError) as error:
        raise RosterFileInvalid(path=path, detail=str(error), detail_ja="") from error


def read_signed(path: Path, root: bytes) -> SignedRoster:
    """A roster that the root signed. Raises RosterUnsigned or RosterFileInvalid."""
    file = read(path)
    if file.root != root:
        raise RosterFileInvalid(path=path, detail="it is for another root key", detail_ja="（別のルート鍵のものです）")
    if not file.signature:
        raise RosterUnsigned(path=path)
    signed = SignedRoster(file.roster, file.signature)
    try:
        signed.verify(root)
    except (Malformed, SignatureInvalid) as error:
        raise RosterFileInvalid(path=path, detail=str(error), detail_ja="") from error
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
