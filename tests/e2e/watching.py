"""Watches what programs connect to and start: an audit hook in every Python process (PEP 578), and the kernel's tables.

The hook misses nothing that Python does, however short; the tables show what native code does, when it lasts.
"""

import json
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_HOOK = """
import json, os, sys

def _watch(event, arguments):
    if event == "socket.connect":
        note = ["connect", str(arguments[1])]
    elif event == "socket.getaddrinfo":
        note = ["resolve", str(arguments[0])]
    elif event == "socket.sendto":
        note = ["sendto", str(arguments[1])]
    elif event == "subprocess.Popen":
        note = ["start", " ".join(map(os.fsdecode, arguments[1]))]
    else:
        return
    line = json.dumps([" ".join(sys.orig_argv), *note]) + "\\n"
    handle = os.open(os.environ["RENGO_TEST_WATCH"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, line.encode())
    os.close(handle)

sys.addaudithook(_watch)
"""


@dataclass
class Watch:
    """Watches every program that gets `environment`, and all that it starts."""

    folder: Path
    seen: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        (self.folder / "hook").mkdir(parents=True)
        (self.folder / "hook" / "sitecustomize.py").write_text(_HOOK)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    @property
    def environment(self) -> dict[str, str]:
        """What a program has to be started with to be watched."""
        paths = [str(self.folder / "hook"), *filter(None, [os.environ.get("PYTHONPATH", "")])]
        return {"PYTHONPATH": os.pathsep.join(paths), "RENGO_TEST_WATCH": str(self.folder / "events")}

    def events(self) -> list[tuple[str, str, str]]:
        """(command line, what it did, to what), in order."""
        path = self.folder / "events"
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    def stop(self) -> None:
        """Look no more at the kernel's tables."""
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.2):
            for process in self._watched():
                self.seen |= {(program_of(process), remote) for remote in remotes_of(process)}

    def _watched(self) -> Iterator[Path]:
        mark = f"RENGO_TEST_WATCH={self.folder / 'events'}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes():
                    yield process
            except OSError:
                continue  # it has ended, or is another user's


def program_of(process: Path) -> str:
    """A process's command line."""
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "(ended)"


def remotes_of(process: Path) -> set[str]:
    """The other ends, HOST:PORT, of the process's TCP and UDP sockets."""
    inodes, found = set(), set()
    try:
        for handle in (process / "fd").iterdir():
            if match := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(handle)):
                inodes.add(match[1])
        for table in ("tcp", "tcp6", "udp", "udp6"):
            for row in (process / "net" / table).read_text().splitlines()[1:]:
                columns = row.split()
                if columns[9] in inodes and not columns[2].endswith(":0000"):
                    found.add(_address(columns[2]))
    except OSError:
        return found  # it has ended
    return found


def _address(text: str) -> str:
    """`0100007F:1F90` (little-endian words) as `127.0.0.1:8080`; IPv6 as hexadecimal digits."""
    host, _, port = text.partition(":")
    if host.startswith("0000000000000000FFFF0000"):
        host = host[-8:]
    if len(host) == 8:
        host = ".".join(str(byte) for byte in reversed(bytes.fromhex(host)))
    return f"{host}:{int(port, 16)}"
