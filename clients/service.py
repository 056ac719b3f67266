"""The member's service: one long-lived process with keys, data and model in it, behind a local socket.

What arrives on the socket are bytes that a relay brought (clients/relay); the relay is not trusted with more than that.
The socket and its key are for this user alone, or, in a folder given to `Service`, for the group of that process too.
`multiprocessing.connection` authenticates both ends by a key in a file of this site; only `send_bytes` and
`recv_bytes` are used, so nothing is ever unpickled. One request at a time: the protocol allows no more.
"""

import contextlib
import fcntl
import json
import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, Listener
from pathlib import Path

from clients.contribution import Contribution
from clients.dataset import Source, read_corpus
from clients.home import DEMO, ApprovedFileChanged, Home, NothingApproved
from clients.home import write as write_private
from clients.journal import Journal
from clients.member import Member, request_limits
from clients.policy import Policy
from clients.process import forbid_core_dumps
from clients.trainer import Trainer
from federation import base_model
from federation.errors import ModelMismatch, RengoError
from federation.identity import Identity, Roster
from federation.plan import Plan
from federation.registry import APPROVED

_log = logging.getLogger(__name__)

DEMO_BASE = Path(__file__).resolve().parents[1] / "aggregator" / "simulate" / "demo" / "base"
"""The demo's base model, by place: for trials without a model of one's own."""


STOPPED = "stopped"
"""The last phase in status.json."""


class MemberRunning(RengoError):
    """A member already runs on {path}. `rengo member status` shows it."""

    ja = "{path} では既に参加拠点が動作中です。`rengo member status` で確認できます。"
    exit_code = 2


@dataclass(frozen=True)
class Status:
    """`status.json`: what the service is doing. `since`: UTC seconds. `detail`: the last thing worth telling."""

    pid: int
    phase: str
    job: str
    since: float
    requests: int
    detail: str = ""


def make_member(home: Home, identity: Identity, journal: Journal, destination: str) -> tuple[Member, int]:
    """The member as this site approved it, with model and data loaded, and the largest request that it takes.

    Raises NothingApproved, ModelMismatch before anything is loaded, and what model and data raise.
    """
    settings, plan, roster, site = home.settings(), home.plan(), home.roster(), home.policy()
    _require_approved(home, plan, roster)
    folder = DEMO_BASE if settings.model == DEMO else Path(settings.model)
    actual = base_model.digest(folder)
    if actual != plan.model.sha256:
        raise ModelMismatch(path=folder, expected=plan.model.sha256, actual=actual)
    learner = Trainer(folder, plan.model, plan.lora)
    learner.check_length(plan.train.sequence_length)
    source = Source(settings.id, Path(settings.data))
    corpus = read_corpus(source, learner.tokenizer, plan.train.sequence_length, plan.evaluation)
    for file in corpus.set_aside:
        _log.warning("%s is not used: %s", file.name, file.reason)
    contribution = Contribution(plan, settings.id, learner, corpus)
    base = bytes.fromhex(plan.model.sha256)
    policy = Policy(plan.digest(), roster.digest(), base, site.minimum_cohort, site.rounds_per_data_set)
    member = Member(identity, roster, plan, policy, contribution, journal, destination)
    limits = request_limits(plan, contribution)
    return member, 4 * (limits.header + limits.blob)


class Service:
    """Listens on a local socket and hands each request to `handle`, in a thread of its own."""

    def __init__(
        self, home: Home, handle: Callable[[bytes], bytes], largest: int, job: str, shared: Path | None = None
    ) -> None:
        self._home, self._handle, self._largest, self._job = home, handle, largest, job
        self._requests, self._closing, self._telling = 0, threading.Event(), threading.Lock()
        # A socket's path has to be short (108 bytes), and a home may be deep.
        folder = shared or Path(tempfile.mkdtemp(prefix="rengo-"))
        self._private = None if shared else folder
        self.address, self.key_file = door(folder)
        write_private(self.key_file, secrets.token_bytes(32))
        self.address.unlink(missing_ok=True)  # of a service that was killed; `alone` lets no other live here
        self._listener = Listener(str(self.address), family="AF_UNIX", authkey=self.key_file.read_bytes())
        if shared:
            self.address.chmod(0o660)
            self.key_file.chmod(0o640)
        self.tell("waiting")
        threading.Thread(target=self._serve, name="service", daemon=True).start()

    def tell(self, phase: str, detail: str = "") -> None:
        """Write status.json."""
        with self._telling:
            if self._closing.is_set() and phase != STOPPED:
                return  # a request that was still under way
            status = Status(os.getpid(), phase, self._job, time.time(), self._requests, detail)
            write_private(self._home.file("status.json"), json.dumps(asdict(status), ensure_ascii=False).encode())

    def close(self) -> None:
        """Take no more requests."""
        self._closing.set()
        self._listener.close()
        self.key_file.unlink(missing_ok=True)
        if self._private:
            shutil.rmtree(self._private, ignore_errors=True)
        self.tell(STOPPED)

    def _serve(self) -> None:
        while True:
            try:
                with self._listener.accept() as relay:
                    self._answer(relay)
            except (EOFError, ConnectionError, BrokenPipeError):
                _log.warning("the relay hung up")
            except Exception as error:
                if self._closing.is_set():
                    return
                # Authentication failures and frames that are too large among them. Nothing has left, and the next
                # request may be better.
                _log.error("a request failed: %s", error if isinstance(error, RengoError) else repr(error))
                self.tell("waiting", str(error))
                self._closing.wait(0.1)  # what fails at once, over and over, must not take a core

    def _answer(self, relay: Connection) -> None:
        request = relay.recv_bytes(self._largest)
        self._requests += 1
        self.tell("answering")
        answer = self._handle(request)
        # Before the answer: whoever has it may stop the service next, which writes the same file.
        self.tell("waiting")
        relay.send_bytes(answer)


def door(folder: Path) -> tuple[Path, Path]:
    """The service's socket in `folder`, and the file with the key that opens it."""
    return folder / "member.sock", folder / "socket.key"


@contextlib.contextmanager
def alone(home: Home) -> Iterator[None]:
    """One member a home, and no core dumps of it. Raises MemberRunning."""
    forbid_core_dumps()
    handle = os.open(home.file("lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise MemberRunning(path=home.path) from error
    try:
        yield
    finally:
        os.close(handle)


def _require_approved(home: Home, plan: Plan, roster: Roster) -> None:
    """A person's last word about this plan was yes, and about this roster. Raises NothingApproved, or
    ApprovedFileChanged when something else stands in a file than what was approved last."""
    approved = [a for a in home.approvals() if a.answer == APPROVED]
    if approved and approved[-1].plan != plan.digest().hex():
        raise ApprovedFileChanged(path=home.file("plan.yaml"))
    if approved and approved[-1].roster != roster.digest().hex():
        raise ApprovedFileChanged(path=home.file("roster"))
    answers = [a.answer for a in home.approvals() if a.plan == plan.digest().hex()]
    if not answers or answers[-1] != APPROVED:
        raise NothingApproved(what="plan")
