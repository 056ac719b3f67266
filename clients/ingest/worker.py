"""The parsing process: takes open files from its parent, one at a time, and gives back their text.

`python -m clients.ingest.worker SECONDS PATIENCE MEMORY TEXT`, with a socket as standard input. It holds no secret, and
what it takes from itself (`confinement`) is what a parser that a file has taken over does not have.

A request is one byte with the open file and with others that it is read with, then {"name", "skip"} with what is said
about these (`logs.site`). The answer: for each part of the file {"part": name}, so that the parent knows what was being
read should this process die, and then {"facts", "left_out", "marks", "log"} with the text, or {"reason", "reason_ja"},
or {"no_memory"}; at the end {"end"}. A file that is no archive is one part with no name. The first `skip` parts are
passed over.
"""

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple
from functools import partial
from itertools import islice
from typing import BinaryIO

from clients.ingest.confinement import Limits, allow_seconds, confine
from clients.ingest.content import LARGEST_FILE, Content, Unusable
from clients.ingest.logs.site import sites
from clients.ingest.pipe import Frame, receive, send
from clients.ingest.readers import part, parts
from clients.ingest.together import LARGEST_REQUEST

_MOST_DESCRIPTORS = 253  # Linux's own limit (SCM_MAX_FD)


def main() -> None:
    limits = Limits(*map(int, sys.argv[1:]))
    door = socket.socket(fileno=os.dup(0))
    send(door, Frame({"walls": confine(limits)}))
    while True:
        _, descriptors, _, _ = socket.recv_fds(door, 1, _MOST_DESCRIPTORS)
        if not descriptors:
            return  # the parent is gone
        request = receive(door, LARGEST_REQUEST)
        allow_seconds(limits.seconds)
        with contextlib.ExitStack() as stack:
            file, *others = [stack.enter_context(open(descriptor, "rb")) for descriptor in descriptors]
            around = sites(request.text, partial(_part, others, limits.seconds))
            for name, read in islice(parts(_all(file), request.head["name"], around), request.head["skip"], None):
                send(door, Frame({"part": name}))
                allow_seconds(limits.seconds)
                send(door, _answer(read, limits))
        send(door, Frame({"end": True}))


def _all(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(LARGEST_FILE + 1)


def _part(files: Sequence[BinaryIO], seconds: int, place: int, name: str) -> bytes:
    """Of a file that another one is read with; each has its own time."""
    allow_seconds(seconds)
    return part(_all(files[place]), name)


def _answer(read: Callable[[], Content], limits: Limits) -> Frame:
    try:
        content = read()
        if len(content.text.encode("utf-8", "replace")) > limits.text:
            mebibytes = limits.text // 2**20
            raise Unusable(f"its text has more than {mebibytes} MiB", f"抽出した文字が {mebibytes} MiB を超えています")
    except Unusable as refusal:
        left_out = list(map(astuple, refusal.left_out))
        return Frame({"reason": refusal.reason, "reason_ja": refusal.reason_ja, "left_out": left_out})
    except MemoryError:
        return Frame({"no_memory": True})
    log = None if content.log is None else astuple(content.log)
    said = {"left_out": list(map(astuple, content.left_out)), "marks": sorted(content.marks), "log": log}
    return Frame({"facts": asdict(content.facts), **said}, content.text)


if __name__ == "__main__":
    main()
