"""`rengo member start`: the service and the node, until SIGTERM or Ctrl-C. `rengo member serve`: the service alone."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clients import clock, proxy
from clients.approving import JobFinished, is_other_startable, require_startable
from clients.asking import ask_until_answered
from clients.commands.site import opened_journal, registry_of
from clients.extracted import telling
from clients.home import Approval, Home, NothingApproved
from clients.journal import Journal
from clients.node_process import Node, NodeProcess
from clients.process import alone
from clients.proxy import ProxyRefused
from clients.state_folder import require_usable
from federation.commands import Printer, Words
from federation.errors import ConfigInvalid, RengoError
from federation.secagg.refusals import JobClosed

if TYPE_CHECKING:  # they bring torch
    from clients.member import Member
    from clients.service import Service

_LOOK = 2.0
"""Seconds between two looks at what was approved since the member was loaded."""

_WORDS: dict[str, Words] = {
    "waiting": {
        "en": "{id}: no plan to take part in; the next one is approved where policy.toml permits it",
        "ja": "{id}: 参加する計画はまだありません。次の計画が社内許可条件の範囲内であれば自動的に承認します",
    },
    "loading": {"en": "{id}: loading the base model and the documents", "ja": "{id}: 基盤モデルと文書を読み込み中"},
    "ready": {
        "en": "{id}: ready for job {job}; connecting outward to {superlink}",
        "ja": "{id}: ジョブ {job} の準備ができました。{superlink} に接続します",
    },
    "serving": {
        "en": "{id}: ready for job {job}; the relay finds it at {socket}",
        "ja": "{id}: ジョブ {job} の準備ができました。中継は {socket} で待ち受けています",
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
    "clock": {
        "en": "{id}: the coordinator refuses the node; it keeps trying. {reason} [{code}]",
        "ja": "{id}: 事務局がノードを拒否しています（再試行を続けます）。{reason} [{code}]",
    },
    "other": {
        "en": "{id}: another plan or roster is approved than job {job} was loaded with: it is taken up",
        "ja": "{id}: ジョブ {job} の読み込み後に別の計画・名簿が承認されたため、切り替えます",
    },
    "stopped": {"en": "{id}: stopped", "ja": "{id}: 停止しました"},
}


class _Stopped(BaseException):
    """A signal said to stop, at a time when nothing has to be ended in order."""


@dataclass
class _Signals:
    """SIGTERM and Ctrl-C. `stopping`: whether one came."""

    stopping: threading.Event
    _interrupting: bool = False

    def hear(self, *_: object) -> None:
        """The signals' handler."""
        self.stopping.set()
        if self._interrupting:
            self._interrupting = False
            raise _Stopped

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """What takes long in here ends at once when a signal comes, by _Stopped: nothing listens yet, and whatever is
        written is whole or not there."""
        self._interrupting = True
        try:
            if self.stopping.is_set():
                raise _Stopped
            yield
        except Exception as error:
            # What a library says on its way out of half a piece of work is nothing wrong at this site.
            if self.stopping.is_set():
                raise _Stopped from error
            raise
        finally:
            self._interrupting = False


def run(home: Home, printer: Printer) -> None:
    """Take part until told to stop. Raises what keeps this site from taking part, what is quickly seen first."""
    with _alone(home, printer) as (signals, journal):
        automatic = home.policy().automatic_approval
        if not automatic:
            require_startable(home, journal)
        with signals.interrupting():
            ask_until_answered(home, journal, signals.stopping, printer)
        if automatic:
            _await_plan(home, journal, signals.stopping, printer)
        while not signals.stopping.is_set():
            _take_part(home, journal, signals, printer)


def _await_plan(home: Home, journal: Journal, stopping: threading.Event, printer: Printer) -> None:
    """Until policy.toml, or a person, has approved a plan that can be started."""
    told = False
    while not stopping.is_set():
        try:
            require_startable(home, journal)
            return
        except (NothingApproved, ConfigInvalid, JobClosed, JobFinished):  # ConfigInvalid: approved before an upgrade
            if not told:
                printer.line("waiting", _WORDS["waiting"], id=home.settings().id)
            told = True
        stopping.wait(_LOOK)


def _take_part(home: Home, journal: Journal, signals: _Signals, printer: Printer) -> None:
    """Service and node of what is approved now, until told to stop or until something else is to be taken up."""
    id = home.settings().id
    with _service(home, journal, None, signals, printer) as running:
        service = running.service
        files = home.file("ca.pem"), home.file("keys/node.key"), service.address, service.key_file
        printer.line("ready", _WORDS["ready"], id=id, job=running.member.plan.job, superlink=home.carrier())
        _tell_of_proxy(home, printer)

        def ended(code: int, pause: float) -> None:
            event = "absent" if _nobody_listens(home) else "node"
            facts = {"id": id, "code": code, "carrier": home.carrier(), "pause": round(pause)}
            printer.line(event, _WORDS[event], **facts)
            _tell_of_proxy(home, printer)
            if event == "node":
                _tell_of_clock(home, printer)

        node = NodeProcess(Node(home.carrier(), *files, home.file("flower"), _free_port()), ended)
        try:
            running.wait(signals.stopping)
        finally:
            # Before the next plan is loaded: the coordinator must not count on a node that nobody answers for.
            node.stop()


def serve(home: Home, folder: Path, printer: Printer) -> None:
    """The service alone, behind a socket in `folder` that this process's group may use. It uses no network: what it
    needs to know of the registry, `review` and `approve` have kept."""
    id = home.settings().id
    with _alone(home, printer) as (signals, journal):
        while not signals.stopping.is_set():
            with _service(home, journal, folder, signals, printer) as running:
                address = str(running.service.address)
                printer.line("serving", _WORDS["serving"], id=id, job=running.member.plan.job, socket=address)
                running.wait(signals.stopping)


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


def _tell_of_clock(home: Home, printer: Printer) -> None:
    """Name this machine's clock where the coordinator refuses the node for it, as when it was set while the member ran:
    Flower tells the node nothing."""
    try:
        with opened_journal(home) as journal:  # a connection of its own: the service writes to the other one
            _, offset = clock.standing(registry_of(home, journal), home.identity())
        clock.require_right(offset)
    except RengoError as error:
        if isinstance(error, clock.ClockWrong):
            id, reason = home.settings().id, error.text(printer.language)
            printer.line("clock", _WORDS["clock"], id=id, reason=reason, code=error.code)


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
def _alone(home: Home, printer: Printer) -> Iterator[tuple[_Signals, Journal]]:
    """The one member of a usable folder, with its journal, until a signal ends it. First of all it is known that it
    runs: `stop` has to find it."""
    id = home.settings().id
    signals = _Signals(threading.Event())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signals.hear)
    require_usable(home.path)
    with alone(home.path), contextlib.suppress(_Stopped), opened_journal(home) as journal:
        yield signals, journal
    printer.line("stopped", _WORDS["stopped"], id=id)


@dataclass(frozen=True)
class _Running:
    """A member and its service. `decisions`: the site's, as it was loaded."""

    home: Home
    journal: Journal
    member: "Member"
    service: "Service"
    decisions: list[Approval]
    printer: Printer

    def wait(self, stopping: threading.Event) -> None:
        """Until told to stop, or until something else is to be taken up: then no request is answered any more."""
        while not stopping.wait(_LOOK):
            if self.home.approvals() != self.decisions and self.service.retire(self._over):
                id, job = self.home.settings().id, self.member.plan.job
                self.printer.line("other", _WORDS["other"], id=id, job=job)
                return

    def _over(self) -> bool:
        """Whether another plan or roster is approved, and nothing is lost by taking it up: this job never began at this
        site or has ended here, or it goes on under the new roster and no round is open."""
        plan, roster = self.member.plan, self.member.roster
        if not is_other_startable(self.home, self.journal, plan, roster):
            return False
        if plan.job not in self.journal.open_jobs():
            return True
        return self.home.plan().digest() == plan.digest() and not self.journal.history(plan.job).round_open


@contextlib.contextmanager
def _service(
    home: Home, journal: Journal, shared: Path | None, signals: _Signals, printer: Printer
) -> Iterator[_Running]:
    """Model and documents loaded, and the service listening. Raises what `require_startable` raises before that."""
    require_startable(home, journal)
    printer.line("loading", _WORDS["loading"], id=home.settings().id)
    decisions = home.approvals()
    with signals.interrupting():
        # They bring torch and Flower along, which whatever could be seen without them has not waited for.
        from clients.relay.node import app_sha256
        from clients.service import Service, make_member

        member, largest = make_member(home, home.identity(), journal, home.carrier(), app_sha256(), telling(printer))
    service = Service(home, member.handle, largest, member.plan.job, shared, rounds=member.plan.rounds)
    try:
        yield _Running(home, journal, member, service, decisions, printer)
    finally:
        service.close()


def _free_port() -> int:
    """For the node's own local interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
