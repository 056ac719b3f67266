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
        "number", "utc", "local time", "job", "content", "host:port", "bytes out", "bytes in", "SHA-256 of the message",
        "SHA-256 of the app", "note", "chain",
    ),
    "ja": (
        "番号", "日時（UTC）", "日時（現地）", "ジョブ", "内容", "送信先", "送信バイト", "受信バイト",
        "メッセージの SHA-256", "アプリの SHA-256", "備考", "連鎖値",
    ),
}  # fmt: skip


class HeadNotInJournal(RengoError):
    """The link {head} is not in the journal {path}: rows were cut off at its end, or it is another journal."""

    ja = "連鎖値 {head} は送信記録簿 {path} にありません。末尾が削除されたか、別の記録簿です。"
    exit_code = 10


def verified(rows: Sequence[Sent], path: Path, head: str | None) -> dict[str, Any]:
    """Facts about an opened journal. Raises HeadNotInJournal unless `head`, when given, is the link of some row."""
    links = [row.chain.hex() for row in rows]
    if head is not None and head.strip().lower() not in links:
        raise HeadNotInJournal(head=head.strip()[:64], path=path)
    return {"path": str(path), "rows": len(rows), "head": links[-1] if links else ""}


def to_csv(rows: Sequence[Sent], language: Language) -> bytes:
    """UTF-8 with a byte order mark, which Excel wants, and RFC 4180's line ends."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_HEADER[language])
    for row in rows:
        sha256, chain = row.sha256.hex(), row.chain.hex()
        cells = (row.number, row.utc, _local(row.utc), row.job, row.kinds, row.destination, row.size, row.received)
        writer.writerow([_inert(cell) for cell in (*cells, sha256, row.app, row.note, chain)])
    return text.getvalue().encode("utf-8-sig")


def to_syslog(rows: Sequence[Sent], language: Language) -> bytes:
    """One RFC 5424 line a row: facility local0, severity informational; 32473 is RFC 5612's number for examples."""
    host = re.sub(r"[^!-~]", "-", socket.gethostname())[:255] or "-"
    lines = []
    for row in rows:
        facts = {
            "number": row.number,
            "local": _local(row.utc),
            "job": row.job,
            "content": row.kinds,
            "destination": row.destination,
            "out": row.size,
            "in": row.received,
            "sha256": row.sha256.hex(),
            "app": row.app,
            "note": row.note,
            "chain": row.chain.hex(),
        }
        elements = "".join(f' {name}="{_escaped(value)}"' for name, value in facts.items())
        head = f"<134>1 {row.utc} {host} rengo-member {os.getpid()} journal"
        lines.append(f"{head} [rengo@32473{elements}]\n")
    return "".join(lines).encode()


FORMATS: Mapping[str, Callable[[Sequence[Sent], Language], bytes]] = {"csv": to_csv, "syslog": to_syslog}


def _local(utc: str) -> str:
    """In this machine's time zone, as proxies log."""
    return datetime.datetime.fromisoformat(utc).astimezone().isoformat(timespec="milliseconds")


def _inert(cell: object) -> object:
    """A job's name is the coordinator's choice, and a spreadsheet takes text that begins like this for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _escaped(value: object) -> str:
    text = re.sub(r"([\"\\\]])", r"\\\1", str(value))
    return re.sub(r"[\x00-\x1f\x7f]", " ", text)
