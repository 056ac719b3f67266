"""A consortium of real programs on this machine: one coordinator, four members, TLS between them, a folder each.

Nothing is replaced: every step is a command line as people type it, in a process of its own.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aggregator.home
import clients.home
from aggregator import tls

RENGO = Path(sys.executable).with_name("rengo")
CONSORTIUM = "名古屋製造業コンソーシアム"
PATIENCE = 300.0
"""Seconds for what takes a few on an idle machine."""

PLAN = (
    "job=trial",
    "rounds=2",
    "model.threads=1",
    "train.sequence_length=64",
    "train.tokens_per_round=128",
    "train.tokens_per_step=64",
    "train.optimizer.learning_rate=2e-3",
    "evaluation.tokens=64",
    "evaluation.every=1",
    "evaluation.validation_share=0.1",
    "evaluation.test_share=0.1",
    "deadlines.training=300",
    "deadlines.answer=300",
)


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit code, and what it wrote (`--json --lang en`)."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> dict[str, Any]:
        """What it found out, or its error."""
        facts: dict[str, Any] = json.loads((self.out if self.code == 0 else self.err).splitlines()[-1])
        return facts


def rengo(*arguments: object, **environment: str) -> Done:
    """Run one command to its end."""
    command = [str(RENGO), *map(str, arguments), "--json", "--lang", "en"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=os.environ | environment)
    return Done(done.returncode, done.stdout, done.stderr)


def succeeds(*arguments: object, **environment: str) -> dict[str, Any]:
    """What a command found out; it has to end with 0."""
    done = rengo(*arguments, **environment)
    assert done.code == 0, done.err
    return done.facts


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Look every tenth of a second until `condition` holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.1)


def server_files(folder: Path, *hosts: str) -> list[Path]:
    """A certificate for `hosts` (of nobody but this machine, where none is named), its key and its authority's."""
    authority_key, authority = tls.make_authority("tests")
    key, certificate = tls.make_server(authority_key, authority, list(hosts) or ["127.0.0.1"])
    files = [folder / name for name in ("server.pem", "tls.key", "authority.pem")]
    for path, data in zip(files, (certificate, key, authority), strict=True):
        path.write_bytes(data)
    return files


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@dataclass
class Program:
    """A command that runs for long; its output is in `log`."""

    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, log: Path, *arguments: object, **environment: str) -> "Program":
        """Start `rengo ARGUMENTS`, in a session of its own."""
        command = [str(RENGO), *map(str, arguments), "--lang", "en"]
        with log.open("ab") as file:
            process = subprocess.Popen(
                command, stdout=file, stderr=file, env=os.environ | environment, start_new_session=True
            )
        return cls(process, log)

    def text(self) -> str:
        """What it has written until now."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def says(self, words: str, seconds: float = PATIENCE) -> None:
        """Wait until it has written `words`; it must not end before."""
        wait_until(lambda: words in self.text() or self.process.poll() is not None, f"{words!r}", seconds)
        assert words in self.text(), self.text()

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@dataclass
class Consortium:
    """Folders, addresses and running programs. `environment` is what every program gets beside this process's own."""

    folder: Path
    names: Sequence[str]
    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    running: list[Program] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home = self.folder / "coordinator"
        self.registry_port, self.carrier_port = free_ports(2)
        self.url = f"https://127.0.0.1:{self.registry_port}"

    def site(self, name: str) -> clients.home.Home:
        """A member's folder."""
        return clients.home.Home(self.folder / name)

    @property
    def coordinator(self) -> aggregator.home.Home:
        """The coordinator's folder."""
        return aggregator.home.Home(self.home)

    def create(self, address: str = "127.0.0.1") -> None:
        """`rengo coordinator init`, for a coordinator at this address."""
        carrier = f"{address}:{self.carrier_port}"
        addresses = ("--url", self.url, "--carrier", carrier, "--listen", address)
        succeeds("coordinator", "init", CONSORTIUM, "--home", self.home, *addresses, "--wait", int(PATIENCE))

    def serve(self, *plan: Path) -> Program:
        """`rengo coordinator start`, when it listens."""
        log = self.folder / f"coordinator-{len(self.running)}.log"
        program = Program.start(log, "coordinator", "start", *plan, "--home", self.home, **self.environment)
        self.running.append(program)
        program.says("members can join")
        return program

    def token(self, name: str, expires: str = "1h") -> Path:
        """The file of a join token for `name`."""
        path = self.folder / f"{name}-{len(list(self.folder.glob('*.token')))}.token"
        succeeds("coordinator", "invite", name, "--home", self.home, "--expires", expires, "--out", path)
        return path

    def join(self, name: str, token: Path) -> Done:
        """`rengo member join`."""
        where = ("--home", self.folder / name, "--data", self.data / name)
        return rengo("member", "join", "--token-file", token, *where, **self.environment)

    def sign_roster(self) -> None:
        """The root signs who has joined, and the coordinator publishes it."""
        unsigned, signed = self.folder / "roster", self.folder / "roster.signed"
        succeeds("coordinator", "roster", "--home", self.home, "--out", unsigned)
        succeeds("root", "sign", unsigned, "--key", self.home / "root.key", "--out", signed, "--yes")
        succeeds("coordinator", "roster", "--home", self.home, "--publish", signed)

    def make_plan(self, *more: str) -> Path:
        """`rengo coordinator plan … > plan.yaml`."""
        path = self.folder / "plan.yaml"
        made = succeeds("coordinator", "plan", *PLAN, *more, "--home", self.home)["plan"]
        path.write_text(made, encoding="utf-8")
        return path

    def start_member(self, name: str, **more: str) -> Program:
        """`rengo member start`, without waiting for it. `more`: of its environment."""
        log = self.folder / f"{name}.log"
        program = Program.start(log, "member", "start", "--home", self.folder / name, **self.environment | more)
        self.running.append(program)
        return program

    def copy_of_site(self, name: str, target: Path) -> clients.home.Home:
        """The same site in another folder, to be damaged."""
        shutil.copytree(self.folder / name, target, ignore=shutil.ignore_patterns("lock", "flower", "status.json"))
        return clients.home.Home(target)

    def stop(self) -> None:
        """End everything that was started here."""
        for program in reversed(self.running):
            program.stop()
