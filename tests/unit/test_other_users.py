"""What another user of a site's machine, the relay's among them, can get at while the member's service runs.

Needs root, to become two other users; skipped elsewhere.
"""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Client
from pathlib import Path

import pytest

from clients.home import Home, Settings, write
from clients.ingest import read_documents
from clients.journal import Journal
from clients.keys import load_or_create
from clients.process import forbid_core_dumps
from clients.service import Service
from federation.errors import DataFolderInvalid

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

MEMBER, RELAY = 61001, 61002


@dataclass(frozen=True)
class Running:
    """A service that runs as MEMBER: its process, its home, and where it listens."""

    pid: int
    home: Path
    address: Path
    key_file: Path


def become(user: int) -> None:
    """This process is that user's from now on, as a service manager would start it."""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    os.umask(0o077)


def as_user(user: int, ask: Callable[[], list[str]]) -> list[str]:
    """What `ask` finds out in a process of that user."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            become(user)
            os.write(writing, json.dumps(ask()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    found: list[str] = json.loads(text)
    return found


def serve(home: Home, writing: int) -> None:
    """A site's folder as `join` makes it, with documents, a journal and a service on it."""
    become(MEMBER)
    forbid_core_dumps()
    write(home.file("data/manual.txt"), "締付トルク".encode())
    load_or_create(home.file("keys/member.key"), "toyo")
    write(home.file("keys/node.key"), b"node")
    home.create(Settings("toyo", "https://127.0.0.1", str(home.file("data")), "demo"), bytes(32), "PEM")
    Journal(home.file("journal.sqlite"))
    service = Service(home, lambda request: request, 1000, "trial")
    os.write(writing, f"{service.address}\n{service.key_file}\n".encode())
    signal.pause()


@pytest.fixture
def running() -> Iterator[Running]:
    folder = Path(tempfile.mkdtemp(prefix="rengo-users-"))
    folder.chmod(0o755)
    (folder / "member").mkdir(mode=0o700)
    os.chown(folder / "member", MEMBER, MEMBER)
    home = Home(folder / "member" / "home")
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            serve(home, writing)
        finally:
            os._exit(1)
    os.close(writing)
    try:
        with os.fdopen(reading) as told:
            address, key_file = (Path(told.readline().strip()) for _ in range(2))
            yield Running(child, home.path, address, key_file)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        shutil.rmtree(folder)
        shutil.rmtree(address.parent)


def reachable(running: Running, files: list[Path]) -> list[str]:
    """What this process can get at of a site: files, the service's memory, its socket."""
    process = Path(f"/proc/{running.pid}")
    found = []
    for path in [*files, process / "environ", process / "mem", process / "maps", process / "fd" / "0"]:
        try:
            with path.open("rb"):
                found.append(path.name)
        except OSError:
            continue
    for name, action in {
        "list": lambda: os.listdir(running.home),
        "signal": lambda: os.kill(running.pid, 0),
        "socket": lambda: exchange(running),
        "write": lambda: (running.home / "member.toml").open("ab").close(),
    }.items():
        try:
            action()
            found.append(name)
        except OSError:
            continue
    return found


def exchange(running: Running) -> None:
    with Client(str(running.address), family="AF_UNIX", authkey=running.key_file.read_bytes()) as service:
        service.send_bytes(b"frame")
        assert service.recv_bytes() == b"frame"


def test_another_user_reads_nothing_signals_nothing_and_reaches_no_socket(running: Running) -> None:
    files = [path for path in running.home.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"manual.txt", "member.key", "node.key", "journal.sqlite", "member.toml"} <= names
    own = as_user(MEMBER, lambda: reachable(running, files))
    assert names | {"list", "signal", "socket", "write"} <= set(own)  # the control: its owner can
    assert as_user(RELAY, lambda: reachable(running, files)) == []


@pytest.mark.parametrize("below", [".", "manuals"])
def test_a_data_folder_that_is_closed_is_told_as_that(below: str) -> None:
    with tempfile.TemporaryDirectory(prefix="rengo-users-") as name:
        Path(name).chmod(0o755)
        closed = Path(name) / "closed"
        closed.mkdir(mode=0o700)

        def told() -> list[str]:
            with pytest.raises(DataFolderInvalid) as caught:
                read_documents(closed / below)
            return [str(caught.value), caught.value.text("ja")]

        english, japanese = as_user(MEMBER, told)
    assert english.endswith("cannot be used: it cannot be opened (Permission denied).")
    assert "開けません" in japanese
