"""`rengo member start`: the service and the node, until SIGTERM or Ctrl-C."""

import signal
import socket
import threading
from urllib.parse import urlsplit

from clients import clock
from clients.approving import approve_within_policy
from clients.home import Home
from clients.journal import Journal
from clients.node_process import Node, NodeProcess
from clients.process import alone
from clients.registry_client import RegistryClient
from clients.relay.node import app_sha256
from clients.service import Service, make_member
from clients.state_folder import require_usable
from federation.commands import Printer, Words

_WORDS: dict[str, Words] = {
    "loading": {"en": "{id}: loading the base model and the documents", "ja": "{id}: 基盤モデルと文書を読み込み中"},
    "ready": {
        "en": "{id}: ready for job {job}; connecting outward to {superlink}",
        "ja": "{id}: ジョブ {job} の準備ができました。{superlink} に接続します",
    },
    "approved": {
        "en": "{id}: plan {plan} is within policy.toml and was approved without a person",
        "ja": "{id}: 計画 {plan} は社内許可条件の範囲内のため、自動的に承認しました",
    },
    "stopped": {"en": "{id}: stopped", "ja": "{id}: 停止しました"},
}


def run(home: Home, registry: RegistryClient, journal: Journal, printer: Printer) -> None:
    """Take part until told to stop. Raises what keeps this site from taking part."""
    id = home.settings().id
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    require_usable(home.path)
    with alone(home.path):
        standing, offset = clock.standing(registry, home.identity())
        clock.require_right(offset)
        if plan := approve_within_policy(home, standing, registry, journal):
            printer.line("approved", _WORDS["approved"], id=id, plan=plan.digest().hex()[:16])
        printer.line("loading", _WORDS["loading"], id=id)
        superlink = standing.carrier
        destination = urlsplit(f"//{superlink}").netloc
        member, largest = make_member(home, home.identity(), journal, destination, app_sha256())
        service = Service(home, member.handle, largest, home.plan().job)
        files = home.file("ca.pem"), home.file("keys/node.key"), service.address, service.key_file
        node = NodeProcess(Node(superlink, *files, home.file("flower"), _free_port()))
        printer.line("ready", _WORDS["ready"], id=id, job=home.plan().job, superlink=superlink)
        try:
            stopping.wait()
        finally:
            node.stop()
            service.close()
        printer.line("stopped", _WORDS["stopped"], id=id)


def _free_port() -> int:
    """For the node's own local interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
