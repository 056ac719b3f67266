"""What the parsing process and its parent say to each other: a small JSON object, and with it a text in UTF-8.

No pickle: a parser that a hostile file has taken over writes these bytes.
"""

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

LARGEST_HEAD = 2**16  # bytes
_LENGTHS = struct.Struct(">II")


class Frame(NamedTuple):
    """`head`: plain data. `text`: a document's, or empty."""

    head: Mapping[str, Any]
    text: str = ""


class BadAnswer(Exception):
    """What came is no frame, or larger than agreed."""


def send(door: socket.socket, frame: Frame) -> None:
    """Lone surrogates, which no encoding has, become question marks."""
    head, text = json.dumps(frame.head).encode(), frame.text.encode("utf-8", "replace")
    door.sendall(_LENGTHS.pack(len(head), len(text)) + head)
    door.sendall(text)


def receive(door: socket.socket, largest_text: int, seconds: float | None = None) -> Frame:
    """The next frame. Raises EOFError when the other side is gone, TimeoutError, or BadAnswer."""
    until = None if seconds is None else time.monotonic() + seconds
    head_length, text_length = _LENGTHS.unpack(_exactly(door, _LENGTHS.size, until))
    if head_length > LARGEST_HEAD or text_length > largest_text:
        raise BadAnswer(f"{head_length} and {text_length} bytes")
    try:
        head = json.loads(_exactly(door, head_length, until))
        text = _exactly(door, text_length, until).decode()
    except (ValueError, RecursionError) as error:
        raise BadAnswer(type(error).__name__) from error
    if not isinstance(head, dict):
        raise BadAnswer("no object")
    return Frame(head, text)


def _exactly(door: socket.socket, count: int, until: float | None) -> bytes:
    data = bytearray()
    while len(data) < count:
        if until is not None:
            door.settimeout(max(0.001, until - time.monotonic()))
        piece = door.recv(min(count - len(data), 2**20))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
