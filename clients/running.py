"""A member at work, until SIGTERM or Ctrl-C: service and node in one program (`run`), or the service (`serve`)."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from clients.home import Home
from clients.journal import Journal
from clients.node_process import Node, NodeProcess
from clients.service import Service, alone, make_member
from federation.commands import Printer, Words

_WORDS: dict[str, Words] = {
    "loading": {"en": "{id}: loading the base model and the documents", "ja": "{id}: 基盤モデルと文書を読み込み中"},
    "ready": {
        "en": "{id}: ready for job {job}; connecting outward to {superlink}",
        "ja": "{id}: ジョブ {job} の準備ができました。{superlink} に接続します",
    },
    "serving": {
        "en": "{id}: ready for job {job}; the relay finds it at {socket}",
        "ja": "{id}: ジョブ {job} の準備ができました。中継は {socket} で待ち受けています",
    },
    "stopped": {"en": "{id}: stopped", "ja": "{id}: 停止しました"},
}


def run(home: Home, printer: Printer) -> None:
    """Take part until told to stop. Raises what keeps this site from taking part."""
    with _service(home, None, printer) as (service, stopping):
        files = home.file("ca.pem"), home.file("keys/node.key"), service.address, service.key_file
        node = NodeProcess(Node(home.carrier(), *files, home.file("flower"), _free_port()))
        printer.line("ready", _WORDS["ready"], id=home.settings().id, job=home.plan().job, superlink=home.carrier())
        try:
            stopping.wait()
        finally:
            node.stop()


def serve(home: Home, folder: Path, printer: Printer) -> None:
    """The service alone, behind a socket in `folder` that this process's group may use. It uses no network."""
    with _service(home, folder, printer) as (service, stopping):
        facts = {"id": home.settings().id, "job": home.plan().job, "socket": str(service.address)}
        printer.line("serving", _WORDS["serving"], **facts)
        stopping.wait()


@contextlib.contextmanager
def _service(home: Home, shared: Path | None, printer: Printer) -> Iterator[tuple[Service, threading.Event]]:
    """The service, listening, and the event that a signal sets."""
    id = home.settings().id
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with alone(home), contextlib.ExitStack() as closing:
        printer.line("loading", _WORDS["loading"], id=id)
        journal = Journal(home.file("journal.sqlite"))
        closing.callback(journal.close)
        member, largest = make_member(home, home.identity(), journal, home.carrier())
        service = Service(home, member.handle, largest, home.plan().job, shared)
        closing.callback(service.close)
        yield service, stopping
    printer.line("stopped", _WORDS["stopped"], id=id)


def _free_port() -> int:
    """For the node's own local interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
