"""The site's Flower node: as a child process that is started, watched, started again and stopped, or in place of this
process, for whoever has a supervisor already."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

_log = logging.getLogger(__name__)

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
"""No calls home, no downloads: the node contacts the coordinator and nobody else."""

_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 60.0
"""A node that comes back too soon is refused for up to a minute (Flower's code 305). One that has run for longer than
that begins with the first pause again."""


def door(folder: Path) -> tuple[Path, Path]:
    """The service's socket in `folder`, and the file with the key that opens it."""
    return folder / "member.sock", folder / "socket.key"


@dataclass(frozen=True)
class Node:
    """Where the node connects to, what it trusts, and where the member's service listens. With `superexec_key`, the app
    runs in a `flower-superexec` of its own, which has this key; else the node starts one."""

    superlink: str
    authority: Path
    key: Path
    socket: Path
    socket_key: Path
    folder: Path
    port: int
    superexec_key: Path | None = None

    def command(self) -> list[str]:
        """The command line of clients/relay/node.py."""
        files = [str(path) for path in (self.authority, self.key, self.socket, self.socket_key)]
        apart = [str(self.superexec_key)] if self.superexec_key else []
        return [sys.executable, "-m", "clients.relay.node", self.superlink, *files, str(self.port), *apart]

    def environment(self) -> dict[str, str]:
        """Its environment: this process's, proxies included, and Flower kept quiet."""
        # Flower looks for its own programs on PATH.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        # The relay's own connections are local; a proxy is for the way out.
        local = ",".join(filter(None, [os.environ.get("NO_PROXY", ""), "127.0.0.1", "localhost"]))
        return {**os.environ, **QUIET, "PATH": path, "FLWR_HOME": str(self.folder), "NO_PROXY": local}

    def become(self) -> NoReturn:
        """Go on as the node, in place of this program."""
        command = self.command()
        os.execve(command[0], command, self.environment())  # noqa: S606  # no shell is meant


def _log_end(code: int, pause: float) -> None:
    _log.warning("the node ended with %d; it is started again in %.0f s", code, pause)


class NodeProcess:
    """Keeps a node running until `stop`: a node that ends (a proxy's 502 at start, say) is started again, later each
    time. `restarts` counts; `ended` hears of each end, with the seconds until the next start."""

    def __init__(self, node: Node, ended: Callable[[int, float], None] = _log_end) -> None:
        self._node, self._stopping, self._lock = node, threading.Event(), threading.Lock()
        self._ended = ended
        self._process: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        self._thread = threading.Thread(target=self._keep_running, name="node", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the process is there now."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the node and everything that it started."""
        with self._lock:
            self._stopping.set()
            process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        self._thread.join(timeout=20)

    def _keep_running(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            with self._lock:  # none is started behind the back of `stop`
                if self._stopping.is_set():
                    return
                self._process = self._start()
            began = time.monotonic()
            code = self._process.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            self._ended(code, pause)
            self.restarts += 1
            self._stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _start(self) -> subprocess.Popen[bytes]:
        node = self._node
        node.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (node.folder / "node.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                node.command(), env=node.environment(), stdout=log, stderr=log, start_new_session=True
            )
