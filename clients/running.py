"""`rengo member start`: the service and the node, until SIGTERM or Ctrl-C. `rengo member serve`: the service alone."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clients import clock, proxy
from clients.approving import approve_within_policy, require_approved
from clients.commands.site import registry_of
from clients.home import Home
from clients.journal import Journal
from clients.node_process import Node, NodeProcess
from clients.process import alone
from clients.proxy import ProxyRefused
from clients.state_folder import require_usable
from federation.commands import Printer, Words
from federation.errors import RengoError

if TYPE_CHECKING:  # it brings torch
    from clients.service import Service

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
    "approved": {
        "en": "{id}: plan {plan} is within policy.toml and was approved without a person",
        "ja": "{id}: 計画 {plan} は社内許可条件の範囲内のため、自動的に承認しました",
    },
    "node": {
        "en": "{id}: the node ended with {code} (flower/node.log says why); it is started again in {pause} s",
        "ja": "{id}: ノードが終了しました（{code}、理由は flower/node.log）。{pause} 秒後に再起動します",
    },
    "absent": {
        "en": "{id}: nobody listens at {carrier}: normal before a job begins; the node tries again in {pause} s",
        "ja": "{id}: {carrier} は待ち受けていません（ジョブの開始前は正常）。ノードは {pause} 秒後に再試行します",
    },
    "proxy": {
        "en": "{id}: the carrier is not reached; the node keeps trying. {reason} [{code}]",
        "ja": "{id}: 通信路に接続できません（ノードは再試行を続けます）。{reason} [{code}]",
    },
    "stopped": {"en": "{id}: stopped", "ja": "{id}: 停止しました"},
}


def run(home: Home, journal: Journal, printer: Printer) -> None:
    """Take part until told to stop. Raises what keeps this site from taking part, what is quickly seen first."""
    id = home.settings().id
    with _alone(home) as stopping:
        if not home.policy().automatic_approval:
            require_approved(home)
        registry = registry_of(home, journal)
        standing, offset = clock.standing(registry, home.identity())
        clock.require_right(offset)
        home.keep_carrier(standing.carrier)
        if plan := approve_within_policy(home, standing, registry, journal):
            printer.line("approved", _WORDS["approved"], id=id, plan=plan.digest().hex()[:16])
        with _service(home, journal, None, printer) as service:
            files = home.file("ca.pem"), home.file("keys/node.key"), service.address, service.key_file
            printer.line("ready", _WORDS["ready"], id=id, job=home.plan().job, superlink=home.carrier())
            _tell_of_proxy(home, printer)

            def ended(code: int, pause: float) -> None:
                event = "absent" if _nobody_listens(home) else "node"
                facts = {"id": id, "code": code, "carrier": home.carrier(), "pause": round(pause)}
                printer.line(event, _WORDS[event], **facts)
                _tell_of_proxy(home, printer)

            node = NodeProcess(Node(home.carrier(), *files, home.file("flower"), _free_port()), ended)
            try:
                stopping.wait()
            finally:
                node.stop()
    printer.line("stopped", _WORDS["stopped"], id=id)


def serve(home: Home, journal: Journal, folder: Path, printer: Printer) -> None:
    """The service alone, behind a socket in `folder` that this process's group may use. It uses no network: what it
    needs to know of the registry, `review` and `approve` have kept."""
    id = home.settings().id
    with _alone(home) as stopping, _service(home, journal, folder, printer) as service:
        printer.line("serving", _WORDS["serving"], id=id, job=home.plan().job, socket=str(service.address))
        stopping.wait()
    printer.line("stopped", _WORDS["stopped"], id=id)


def _tell_of_proxy(home: Home, printer: Printer) -> None:
    """Name the proxy where it keeps the node from the carrier: the node only tries again, and says so in its own log.
    A carrier that is not there yet is none of the proxy's faults."""
    parts = urlsplit(f"//{home.carrier()}")
    try:
        proxy.require_passing(parts.hostname or "", parts.port or 443)
    except RengoError as error:
        if not (isinstance(error, ProxyRefused) and error.found_nobody):
            printer.line(
                "proxy", _WORDS["proxy"], id=home.settings().id, reason=error.text(printer.language), code=error.code
            )


def _nobody_listens(home: Home) -> bool:
    """Whether that is all that keeps the node from the carrier, through the proxy where there is one."""
    parts = urlsplit(f"//{home.carrier()}")
    place = parts.hostname or "", parts.port or 443
    try:
        proxy.require_passing(*place)
        if proxy.proxy_for(*place) is None:
            socket.create_connection(place, timeout=proxy.SECONDS).close()
    except ProxyRefused as error:
        return error.found_nobody
    except ConnectionRefusedError:
        return True
    except (OSError, RengoError):
        return False
    return False


@contextlib.contextmanager
def _alone(home: Home) -> Iterator[threading.Event]:
    """The one member of a usable folder, and the event that a signal sets."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    require_usable(home.path)
    with alone(home.path):
        yield stopping


@contextlib.contextmanager
def _service(home: Home, journal: Journal, shared: Path | None, printer: Printer) -> Iterator["Service"]:
    """Model and documents loaded, and the service listening. Raises NothingApproved before that."""
    require_approved(home)
    # They bring torch and Flower along, which whatever could be seen without them has not waited for.
    from clients.relay.node import app_sha256
    from clients.service import Service, make_member

    printer.line("loading", _WORDS["loading"], id=home.settings().id)
    member, largest = make_member(home, home.identity(), journal, home.carrier(), app_sha256())
    service = Service(home, member.handle, largest, home.plan().job, shared, rounds=home.plan().rounds)
    try:
        yield service
    finally:
        service.close()


def _free_port() -> int:
    """For the node's own local interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
