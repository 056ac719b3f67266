"""Flower as carrier between sites: a SuperLink process that members' nodes connect to, and the relay app run on it.
Nodes are let through a gate to the calls that they need (gate.py).

    rounds.run -> Flower.exchange -> relay's server side (a Flower ServerApp) -> SuperLink
    -> SuperNode -> relay's client side (a ClientApp) -> the member's service, and back

Flower moves bytes that others signed; it is not trusted with more. The SuperLink keeps its state in memory: when it
or the relay dies, both are started anew and the exchange is over: who has not answered has dropped out. Nodes reconnect
by themselves, and the next exchange waits for those that were there before.
"""

import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from multiprocessing.connection import Connection, Listener
from pathlib import Path

from aggregator.carriers import Exchange
from aggregator.carriers.superlink_log import keep
from aggregator.complaints import COMPLAINTS
from federation.errors import RengoError
from federation.socket_folder import SocketFolder

_log = logging.getLogger(__name__)

# By place and not by import: the app travels as files, and this side must not know the other's code.
RELAY = Path(__file__).resolve().parents[2] / "clients" / "relay" / "app"
_SUPERLINK = (sys.executable, "-m", "aggregator.carriers.superlink")
_REGISTER = (sys.executable, "-m", "aggregator.carriers.register_nodes")
_START_SECONDS = 60
_PAUSES = (1.0, 5.0, 15.0)
"""Seconds before each further try when it cannot be started again."""
_RECONNECT_SECONDS = 180.0
"""For nodes after that: they notice, end, are started again after some seconds, and are refused for up to a minute."""
_LOOK = 0.5
LARGEST = 1 << 20
"""Bytes of an answer, where the plan does not say more."""
_WRAPPING = 4096
"""Bytes that Flower puts around an answer."""
_HEAD = struct.Struct(">Qd")
"""Before each frame for the relay: its node, and the seconds that this one is waited for."""
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
"""No calls home, no downloads: Flower contacts nobody but its own peers."""


class FlowerFailed(RengoError):
    """Flower's {program} did not do what it should: {detail}. Its log is {log}."""

    ja = "Flower の {program} が正しく動作しません: {detail}。ログ: {log}"
    exit_code = 5


@dataclass(frozen=True)
class Servers:
    """Where the SuperLink listens, and with which certificate. Nodes verify it against `authority`."""

    host: str
    port: int
    certificate: Path
    key: Path
    authority: Path


class Flower:
    """The carrier. `nodes`: member -> the public key of its node (OpenSSH); no other node may connect. `largest`: bytes
    of an answer; larger ones are turned away before they are in anybody's memory."""

    def __init__(self, servers: Servers, nodes: Mapping[str, str], folder: Path, largest: int = LARGEST) -> None:
        self._servers, self._nodes, self._folder = servers, nodes, folder
        self._log = folder / "superlink.log"
        self._largest, self._local_port = largest + _WRAPPING, 0
        self._folder_of_sockets = SocketFolder()
        self._sockets = self._folder_of_sockets.path
        self._superlink: subprocess.Popen[bytes] | None = None
        self._relay: Connection | None = None
        self._relay_process: int | None = None
        self._members: dict[int, str] = {}
        self._seen: set[str] = set()
        self._back_by = 0.0

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        """Ask everyone who is connected, and yield answers until all are in or the deadline has passed. When Flower
        fails in between, those who have not answered have dropped out."""
        try:
            relay, online = self._reached(self._seen & requests.keys(), exchange.seconds)
            self._seen = set(online)
            relay.send_bytes(str(exchange.seconds).encode())
            for member in sorted(requests.keys() & online.keys()):
                relay.send_bytes(_HEAD.pack(online[member], exchange.patience(member)) + requests[member])
            relay.send_bytes(b"")
            while answer := self._received(relay):
                member, given = self._members[int.from_bytes(answer[:8], "big")], answer[8:9] == b"\1"
                if given:
                    yield member, answer[9:]
                else:
                    # A site's text: shown as what it is, never as lines of its own.
                    _log.warning("%s: no answer (%r)", member, answer[9:].decode(errors="replace"))
        except (EOFError, OSError):
            self._relay = None

    def online(self) -> set[str]:
        """Members whose node is connected."""
        try:
            online = set(self._reached(set(), 0.0)[1])
        except (EOFError, OSError):
            self._relay = None
            return set()
        # For the next exchange: after a new start, a look may come too soon for any of them.
        self._seen |= online
        return online

    def close(self) -> None:
        """Stop what was started here."""
        self._stop_superlink()
        self._folder_of_sockets.remove()

    def _reached(self, awaited: AbstractSet[str], longest: float) -> tuple[Connection, dict[str, int]]:
        """The relay, and who is connected. When it or the SuperLink has ended since the last exchange, no request is
        lost yet: both are started again, once."""
        relay = self._connected()
        with contextlib.suppress(EOFError, OSError):
            online = self._online(relay, awaited, longest)
            if self._superlink is not None and self._superlink.poll() is None:
                return relay, online
        self._relay = None
        relay = self._connected()
        return relay, self._online(relay, awaited, longest)

    def _connected(self) -> Connection:
        if self._relay is None or self._superlink is None or self._superlink.poll() is not None:
            again = self._superlink is not None
            if again:
                _log.warning("the SuperLink or its relay ended; both are started again")
            self._start_all(_PAUSES if again else ())
            self._back_by = time.monotonic() + _RECONNECT_SECONDS if again else 0.0
        assert self._relay is not None  # noqa: S101  # it was started
        return self._relay

    def _start_all(self, pauses: Sequence[float]) -> None:
        """SuperLink, nodes, relay; once more after each of `pauses`. Raises FlowerFailed."""
        self._stop_superlink()
        try:
            self._start_superlink()
            self._members = self._register_nodes()
            self._relay = self._start_relay()
        except FlowerFailed as error:
            if not pauses:
                raise
            _log.warning("%s Tried again in %g s", error, pauses[0])
            time.sleep(pauses[0])
            self._start_all(pauses[1:])

    def _online(self, relay: Connection, awaited: AbstractSet[str], longest: float) -> dict[str, int]:
        """Members whose node is connected, and its id. After a new start, `awaited` are waited for, `longest` seconds
        at most: they reconnect."""
        until = min(self._back_by, time.monotonic() + longest)
        while True:
            online = {self._members[node]: node for node in self._ask_nodes(relay) if node in self._members}
            if awaited <= online.keys() or time.monotonic() > until:
                return online
            time.sleep(_LOOK)

    def _ask_nodes(self, relay: Connection) -> list[int]:
        relay.send_bytes(b"nodes")
        nodes = []
        while answer := self._received(relay):
            nodes.append(int.from_bytes(answer, "big"))
        return nodes

    def _received(self, relay: Connection) -> bytes:
        """What the relay says next. Raises EOFError when it or the SuperLink has ended: without the SuperLink, the
        relay would go on trying."""
        while not relay.poll(_LOOK):
            if self._superlink is None or self._superlink.poll() is not None:
                raise EOFError
        return relay.recv_bytes()

    def _start_superlink(self) -> None:
        servers, self._local_port = self._servers, _free_port()
        listening, told = os.pipe()
        command = [
            *(sys.executable, "-m", "aggregator.carriers.child", *_SUPERLINK),
            *(servers.host, str(servers.port), str(self._local_port), str(told)),
            *(str(servers.certificate), str(servers.key), str(servers.authority)),
        ]
        config = self._folder / "config.toml"
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        config.write_text(
            f'[superlink.rengo]\naddress = "127.0.0.1:{self._local_port}"\nroot-certificates = "{servers.authority}"\n',
            encoding="utf-8",
        )
        self._superlink = subprocess.Popen(  # noqa: S603
            command,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(told,),
            start_new_session=True,
        )
        os.close(told)
        threading.Thread(target=_hear, args=(listening,), name="complaints", daemon=True).start()
        kept = self._superlink.stdout, self._log
        threading.Thread(target=keep, args=kept, name="superlink.log", daemon=True).start()
        settings = json.dumps({"nodes": dict(self._nodes), "largest": self._largest}).encode()
        given = self._superlink.stdin
        assert given is not None  # noqa: S101  # it was asked for
        with contextlib.suppress(BrokenPipeError), given:  # it may have ended already: told below
            given.write(settings)
        until = time.monotonic() + _START_SECONDS
        while not _listens(self._local_port):
            if self._superlink.poll() is not None or time.monotonic() > until:
                raise self._failed("flower-superlink", "it does not listen")
            time.sleep(0.2)

    def _stop_superlink(self) -> None:
        if self._relay is not None:
            self._relay.close()
        if self._superlink is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._superlink.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._superlink.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._superlink.pid, signal.SIGKILL)
            self._superlink.wait()
        if self._relay_process is not None:
            # Flower starts it in another session, and its way to end may wait for a SuperLink that is gone.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._relay_process, signal.SIGKILL)
            os.close(self._relay_process)
        self._superlink, self._relay, self._relay_process = None, None, None

    def _register_nodes(self) -> dict[int, str]:
        """Tell the SuperLink, which starts without any, whose nodes may connect: node id -> member."""
        command = [*_REGISTER, str(self._local_port), str(self._servers.authority)]
        given, environment = json.dumps(dict(self._nodes)), self._environment()
        try:
            done = subprocess.run(  # noqa: S603
                command,
                input=given,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_START_SECONDS,
                check=True,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise self._failed("registration of nodes", _last(error.stderr or str(error))) from error
        return {int(node): member for member, node in json.loads(done.stdout).items()}

    def _start_relay(self) -> Connection:
        key = secrets.token_bytes(32)
        (self._sockets / "relay.key").unlink(missing_ok=True)
        handle = os.open(self._sockets / "relay.key", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(key)
        address = self._sockets / "relay.sock"
        with Listener(str(address), family="AF_UNIX", authkey=key) as listener:
            config = f'socket="{address}" key-file="{self._sockets / "relay.key"}"'
            self._flwr("run", str(RELAY), "rengo", "--run-config", config)
            listener._listener._socket.settimeout(_START_SECONDS)  # type: ignore[attr-defined]  # it has no other way
            try:
                relay = listener.accept()
            except TimeoutError as error:
                raise self._failed("flwr-serverapp", "the relay does not connect") from error
        self._relay_process = _process_behind(relay)
        return relay

    def _flwr(self, *arguments: str) -> dict[str, str]:
        """One command of Flower's own CLI: its control API has no other stable face."""
        command = [_program("flwr"), *arguments, "--format", "json"]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=False)  # noqa: S603
        try:
            answer: dict[str, str] = json.loads(done.stdout)
        except ValueError as error:
            raise self._failed("flwr", _last(done.stderr)) from error
        if not answer.get("success"):
            raise self._failed("flwr", str(answer.get("error-message", "")).strip())
        return answer

    def _environment(self) -> dict[str, str]:
        # Flower looks for its own programs on PATH. A proxy is for members; here everything is local.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        local = {"NO_PROXY": "127.0.0.1,localhost", "FLWR_LOG_LEVEL": "WARNING"}
        return {**os.environ, **QUIET, **local, "PATH": path, "FLWR_HOME": str(self._folder)}

    def _failed(self, program: str, detail: str) -> FlowerFailed:
        return FlowerFailed(program=program, detail=detail or "no answer", log=self._log)


def _process_behind(relay: Connection) -> int | None:
    """A handle (pidfd) of the process at the other end of a local socket; None when it has ended already."""
    with socket.socket(fileno=os.dup(relay.fileno())) as end:
        credentials = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    with contextlib.suppress(ProcessLookupError):
        return os.pidfd_open(struct.unpack("3i", credentials)[0])
    return None


def _hear(listening: int) -> None:
    """Log who does too much at the gate, until the SuperLink ends."""
    with os.fdopen(listening, encoding="utf-8") as lines:
        for line in lines:
            who, code = json.loads(line)
            _log.warning("carrier: %s: %s", who, COMPLAINTS[code])


def _last(output: str | bytes) -> str:
    """The end of what a program said, where the reason is."""
    text = output.decode(errors="replace") if isinstance(output, bytes) else output
    return text.strip()[-300:]


def _program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
