"""`rengo member start`: the service and the node, until SIGTERM or Ctrl-C."""

import signal
import socket
import threading
from urllib.parse import urlsplit

from clients.home import Home
from clients.journal import Journal
from clients.node_process import Node, NodeProcess
from clients.registry_client import RegistryClient
from clients.service import Service, alone, make_member
from federation.commands import Printer, Words

_WORDS: dict[str, Words] = {
    "loading": {"en": "{id}: loading the base model and the documents", "ja": "{id}: 基盤モデルと文書を読み込み中"},
    "ready": {
        "en": "{id}: ready for job {job}; connecting outward to {superlink}",
        "ja": "{id}: ジョブ {job} の準備ができました。{superlink} に接続します",
    },
    "stopped": {"en": "{id}: stopped", "ja": "{id}: 停止しました"},
}


def run(home: Home, registry: RegistryClient, printer: Printer) -> None:
    """Take part until told to stop. Raises what keeps this site from taking part."""
    id = home.settings().id
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with alone(home):
        printer.line("loading", _WORDS["loading"], id=id)
        superlink = registry.standing(home.identity()).carrier
        destination = urlsplit(f"//{superlink}").netloc
        journal = Journal(home.file("journal.sqlite"))
        member, largest = make_member(home, home.identity(), journal, destination)
        service = Service(home, member.handle, largest, home.plan().job)
        files = home.file("ca.pem"), home.file("keys/node.key"), service.address, service.key_file
        node = NodeProcess(Node(superlink, *files, home.file("flower"), _free_port()))
        printer.line("ready", _WORDS["ready"], id=id, job=home.plan().job, superlink=superlink)
        try:
            stopping.wait()
        finally:
            node.stop()
            service.close()
            journal.close()
        printer.line("stopped", _WORDS["stopped"], id=id)


def _free_port() -> int:
    """For the node's own local interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
