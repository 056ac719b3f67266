"""The member's service: one long-lived process with keys, data and model in it, behind a local socket.

What arrives on the socket are bytes that a relay brought (clients/relay); the relay is not trusted with more than that.
The socket and its key are for this user alone, or, in a folder given to `Service`, for the group of that process too.
`multiprocessing.connection` authenticates both ends by a key in a file of this site; only `send_bytes` and
`recv_bytes` are used, so nothing is ever unpickled. One request at a time: the protocol allows no more. Each connection
has a thread, and a relay that stalls in one is hung up on: it keeps no other waiting.
"""

import contextlib
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection, Listener, answer_challenge, deliver_challenge
from pathlib import Path

from clients import held_out
from clients.approving import require_approved
from clients.contribution import Contribution
from clients.home import Home
from clients.home import write as write_private
from clients.ingest.pace import Progress, untold
from clients.journal import Journal
from clients.loading import load_frozen
from clients.member import Member, request_limits
from clients.node_process import door
from clients.policy import Policy
from federation.errors import RengoError
from federation.identity import Identity
from federation.socket_folder import SocketFolder

_log = logging.getLogger(__name__)
_PAUSE = 0.1
"""Seconds after a request that failed, so that a fault that stays does not fill the log."""
_CONNECTIONS = 8
"""At once. A node has one."""
_PATIENCE = 60.0
"""Seconds for a relay to name itself and bring its request, and again to take the answer."""

STOPPED = "stopped"
"""The last phase in status.json."""


@dataclass(frozen=True)
class Status:
    """`status.json`: what the service is doing. `since`: UTC seconds. `rounds`: how many the job has; how far it is
    stands in the journal. `detail`: the last thing worth telling."""

    pid: int
    phase: str
    job: str
    since: float
    requests: int
    rounds: int
    detail: str = ""


def make_member(
    home: Home,
    identity: Identity,
    journal: Journal,
    destination: str,
    app: str,
    tell: Callable[[Progress], None] = untold,
) -> tuple[Member, int]:
    """The member as this site approved it, with model and data loaded, and the largest request that it takes. `tell`
    hears how far reading is.

    Raises NothingApproved, ModelMismatch before anything is loaded, and what model and data raise.
    """
    require_approved(home)
    settings, plan, roster, site = home.settings(), home.plan(), home.roster(), home.policy()
    learner, corpus, manifest = load_frozen(home, plan, journal, tell)
    noted = partial(held_out.note, home.file(held_out.NAME), plan.job)
    contribution = Contribution(plan, settings.id, learner, corpus, noted, settings.train_here(plan.train))
    base = bytes.fromhex(plan.model.sha256)
    limits = site.minimum_cohort, site.rounds_per_data_set, site.hours, site.semi_malicious
    policy = Policy(plan.digest(), roster.digest(), base, *limits)
    member = Member(identity, roster, plan, policy, contribution, journal, destination, app, manifest)
    largest = request_limits(plan, contribution)
    return member, 4 * (largest.header + largest.blob)


class Service:
    """Listens on a local socket and hands each request to `handle`, one at a time, in threads of its own. `patience`:
    seconds after which a relay that stalls is hung up on."""

    def __init__(
        self,
        home: Home,
        handle: Callable[[bytes], bytes],
        largest: int,
        job: str,
        shared: Path | None = None,
        patience: float = _PATIENCE,
        rounds: int = 0,
    ) -> None:
        self._home, self._handle, self._largest, self._job, self._rounds = home, handle, largest, job, rounds
        self._patience, self._phase, self._requests = patience, "waiting", 0
        self._closing, self._telling, self._one_at_a_time = threading.Event(), threading.Lock(), threading.Lock()
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        folder, self._private = shared, None
        if folder is None:
            self._private = SocketFolder()
            folder = self._private.path
        self.address, self.key_file = door(folder)
        self._key = secrets.token_bytes(32)
        write_private(self.key_file, self._key)
        self.address.unlink(missing_ok=True)  # of a service that was killed; `alone` lets no other live here
        # Without the key: whoever stalls while it is asked for would keep others from being accepted. See `_answer`.
        self._listener = Listener(str(self.address), family="AF_UNIX", backlog=_CONNECTIONS)
        if shared:
            self.address.chmod(0o660)
            self.key_file.chmod(0o640)
        self.tell("waiting")
        self._thread = threading.Thread(target=self._serve, name="service", daemon=True)
        self._thread.start()

    def tell(self, phase: str, detail: str = "") -> None:
        """Write status.json. It is for people: a disk that takes nothing more does not end the service."""
        with self._telling:
            if self._closing.is_set() and phase != STOPPED:
                return  # a request that was still under way
            self._phase = phase
            status = Status(os.getpid(), phase, self._job, time.time(), self._requests, self._rounds, detail)
            try:
                write_private(self._home.file("status.json"), json.dumps(asdict(status), ensure_ascii=False).encode())
            except OSError as error:
                _log.warning("status.json cannot be written: %s", error)

    def retire(self, over: Callable[[], bool]) -> bool:
        """Answer no more requests from now on, if none is being answered and `over()` says that none need be; whether
        that is so. Whoever is asked next is another member: nothing of this one is under way then."""
        if self._one_at_a_time.acquire(blocking=False):
            try:
                if over():
                    self._closing.set()
            finally:
                self._one_at_a_time.release()
        return self._closing.is_set()

    def close(self) -> None:
        """Take no more requests. One that is being answered is not waited for."""
        self._closing.set()
        with socket.socket(socket.AF_UNIX) as waking, contextlib.suppress(OSError):
            waking.connect(str(self.address))
        self._thread.join(timeout=1)
        self._listener.close()
        self.key_file.unlink(missing_ok=True)
        if self._private:
            self._private.remove()
        self.tell(STOPPED)

    def _serve(self) -> None:
        while True:
            try:
                relay = self._listener.accept()
            except OSError as error:
                if self._closing.is_set():
                    return
                self._failed(error)
                self._closing.wait(_PAUSE)
                continue
            if self._closing.is_set():
                relay.close()
                return
            if self._free.acquire(blocking=False):
                threading.Thread(target=self._attend, args=(relay,), name="relay", daemon=True).start()
            else:
                _log.warning("a relay is hung up on: %d others are connected", _CONNECTIONS)
                relay.close()

    def _attend(self, relay: Connection) -> None:
        """One connection, to its end."""
        try:
            with relay:
                well = self._answered(relay)
            if not well:
                self._closing.wait(_PAUSE)
        finally:
            self._free.release()

    def _answered(self, relay: Connection) -> bool:
        """Whether nothing failed; what did is in the log before the relay can know of it."""
        try:
            self._answer(relay)
        except (EOFError, ConnectionError):
            if not self._closing.is_set():
                _log.warning("the relay hung up")
        except Exception as error:
            # Too large a request, a wrong key, a full disk… Nothing has left, and the next request may be better.
            self._failed(error)
            return False
        return True

    def _answer(self, relay: Connection) -> None:
        with _hanging_up_after(self._patience, relay):
            deliver_challenge(relay, self._key)
            answer_challenge(relay, self._key)
            request = relay.recv_bytes(self._largest)
        with self._one_at_a_time:
            if self._closing.is_set():
                raise EOFError
            self._requests += 1
            self.tell("answering")
            try:
                answer = self._handle(request)
            finally:
                # Before the answer: whoever has it may look at the status next, or stop the service, which writes it
                # too.
                self.tell("waiting")
        with _hanging_up_after(self._patience, relay):
            relay.send_bytes(answer)

    def _failed(self, error: Exception) -> None:
        _log.error("a request failed: %s", error if isinstance(error, RengoError) else repr(error))
        self.tell(self._phase, str(error))


@contextlib.contextmanager
def _hanging_up_after(seconds: float, relay: Connection) -> Iterator[None]:
    """A relay that has not done its part by then is hung up on: who waits for it gets EOFError or ConnectionError."""

    def hang_up() -> None:
        _log.warning("a relay stalled for %g seconds", seconds)
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(relay.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # the descriptor is not closed, and given to another connection, under its hands
