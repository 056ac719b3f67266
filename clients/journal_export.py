"""The journal as files for a site's IT team, to be laid beside the proxy's log.

Bytes are those of the message; HTTP and TLS add to them, and Flower's node a heartbeat of its own.
"""

import csv
import datetime
import io
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clients.journal import Sent
from federation.errors import Language, RengoError

_HEADER: Mapping[Language, tuple[str, ...]] = {
    "en": (
        "number", "utc", "local time", "job", "round", "content", "host:port", "bytes out", "bytes in",
        "SHA-256 of the message", "SHA-256 of the app", "note", "SHA-256 of the manifest", "chain",
    ),
    "ja": (
        "番号", "日時（UTC）", "日時（現地）", "ジョブ", "学習回", "内容", "送信先", "送信バイト", "受信バイト",
        "メッセージの SHA-256", "アプリの SHA-256", "備考", "学習データ台帳の SHA-256", "連鎖値",
    ),
}  # fmt: skip


class HeadNotInJournal(RengoError):
    """The link {head} is not in the journal {path}: rows were cut off at its end, or it is another journal."""

    ja = "連鎖値 {head} は送信記録簿 {path} にありません。末尾が削除されたか、別の記録簿です。"
    exit_code = 10


class ManifestNotInJournal(RengoError):
    """No row of the journal {path} names {file}: its SHA-256 is {sha256}. It was changed, or is of another site."""

    ja = "送信記録簿 {path} に {file}（SHA-256 {sha256}）を示す行はありません。改変されたか、別の拠点の台帳です。"
    exit_code = 10


def verified(rows: Sequence[Sent], path: Path, head: str | None) -> dict[str, Any]:
    """Facts about an opened journal. Raises HeadNotInJournal unless `head`, when given, is the link of some row."""
    links = [row.chain.hex() for row in rows]
    if head is not None and head.strip().lower() not in links:
        raise HeadNotInJournal(head=head.strip()[:64], path=path)
    return {"path": str(path), "rows": len(rows), "head": links[-1] if links else ""}


def naming(rows: Sequence[Sent], path: Path, manifest: bytes, file: Path) -> dict[str, Any]:
    """Facts about the rows that name a manifest by its SHA-256. Raises ManifestNotInJournal unless there are any."""
    numbers = [row.number for row in rows if row.manifest == manifest]
    if not numbers:
        raise ManifestNotInJournal(file=file, sha256=manifest.hex(), path=path)
    return {"manifest": manifest.hex(), "first_row": numbers[0], "last_row": numbers[-1], "naming": len(numbers)}


def to_csv(rows: Sequence[Sent], language: Language) -> bytes:
    """UTF-8 with a byte order mark, which Excel wants, and RFC 4180's line ends."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_HEADER[language])
    for row in rows:
        sha256, chain, manifest = row.sha256.hex(), row.chain.hex(), row.manifest.hex()
        cells = (row.number, row.utc, _local(row.utc), row.job, _rounds(row), row.kinds, row.destination)
        writer.writerow(map(_inert, (*cells, row.size, row.received, sha256, row.app, row.note, manifest, chain)))
    return text.getvalue().encode("utf-8-sig")


def to_syslog(rows: Sequence[Sent], language: Language) -> bytes:
    """One RFC 5424 line a row: facility local0, severity informational; 32473 is RFC 5612's number for examples."""
    host = re.sub(r"[^!-~]", "-", socket.gethostname())[:255] or "-"
    lines = []
    for row in rows:
        elements = "".join(f' {name}="{_escaped(value)}"' for name, value in facts(row).items())
        head = f"<134>1 {row.utc} {host} rengo-member {os.getpid()} journal"
        lines.append(f"{head} [rengo@32473{elements}]\n")
    return "".join(lines).encode()


def facts(row: Sent) -> dict[str, Any]:
    """A row for a program; its time in UTC stands beside."""
    return {
        "number": row.number,
        "local": _local(row.utc),
        "job": row.job,
        "round": _rounds(row),
        "content": row.kinds,
        "destination": row.destination,
        "out": row.size,
        "in": row.received,
        "sha256": row.sha256.hex(),
        "app": row.app,
        "note": row.note,
        "manifest": row.manifest.hex(),
        "chain": row.chain.hex(),
    }


FORMATS: Mapping[str, Callable[[Sequence[Sent], Language], bytes]] = {"csv": to_csv, "syslog": to_syslog}


def _rounds(row: Sent) -> str:
    """One number where all statements of a row are of one round, else one each."""
    each = row.rounds.split()
    return each[0] if len(set(each)) == 1 else row.rounds


def _local(utc: str) -> str:
    """In this machine's time zone, as proxies log."""
    return datetime.datetime.fromisoformat(utc).astimezone().isoformat(timespec="milliseconds")


def _inert(cell: object) -> object:
    """A job's name is the coordinator's choice, and a spreadsheet takes text that begins like this for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _escaped(value: object) -> str:
    text = re.sub(r"([\"\\\]])", r"\\\1", str(value))
    return re.sub(r"[\x00-\x1f\x7f]", " ", text)
