"""A joined site against a real registry over TLS on loopback: what tests of the member's commands begin with."""

import contextlib
import io
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aggregator import cli as coordinator_cli
from aggregator import serving
from aggregator.home import Home as CoordinatorHome
from aggregator.planning import make_plan
from aggregator.registry import Registry
from aggregator.registry_server import RegistryServer
from clients import cli
from clients.home import Home
from clients.journal import Journal
from federation import load_plan
from federation.identity import Identity, SignedRoster
from federation.plan import Plan

DOCUMENTS = ("akatombo-seiki", "akikaze-kogaku", "asanagi-seiki")
MEMBERS = Path(coordinator_cli.__file__).parent / "simulate" / "demo" / "members"
SMALL = ("job=trial", "seed=1", "rounds=2", "model.threads=1", "train.tokens_per_round=512", "evaluation.tokens=512")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Consortium:
    """A coordinator's folder, and its registry as it listens."""

    folder: Path
    port: int

    @property
    def home(self) -> CoordinatorHome:
        return CoordinatorHome(self.folder / "coordinator")

    @contextlib.contextmanager
    def registry(self) -> Iterator[Registry]:
        """A connection of its own, as `rengo coordinator` opens it."""
        registry = serving.open_registry(self.home)
        yield registry
        registry.close()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """The registry answers on its port."""
        keys = self.home.key("server.pem"), self.home.key("tls.key")
        server = RegistryServer(serving.open_registry(self.home), "127.0.0.1", self.port, *keys)
        try:
            yield
        finally:
            server.stop()

    def invite(self, id: str) -> Path:
        """A join token's file."""
        out = self.folder / f"{id}.token"
        out.unlink(missing_ok=True)
        call(coordinator_cli.main, "invite", id, "--name", f"{id} 株式会社", "--home", self.home.path, "--out", out)
        return out

    def join(self, id: str, *more: object) -> "Site":
        """A new site with a demo member's documents."""
        site = Site(self.folder / id)
        site.run("join", "--token-file", self.invite(id), "--data", MEMBERS / id, *more)
        return site

    def publish_roster(self) -> None:
        """Everyone who joined, signed by the root."""
        root = Identity.from_private_bytes("root", self.home.root_key.read_bytes())
        with self.registry() as registry:
            registry.publish_roster(SignedRoster.sign(registry.proposal(), root))

    def propose(self, *overrides: str, **changes: object) -> Plan:
        """A plan for the newest roster. `changes` replace its fields."""
        with self.registry() as registry:
            plan, _ = make_plan([*SMALL, *overrides], registry.roster().roster)
            plan = replace(plan, **changes)  # type: ignore[arg-type]
            registry.propose_plan(load_plan.to_yaml(plan).encode(), plan.digest())
        return plan

    def log(self) -> list[str]:
        """What the registry noted."""
        with self.registry() as registry:
            return [event for _, _, event in registry.log()]


@dataclass
class Site:
    """A member's folder."""

    path: Path

    @property
    def home(self) -> Home:
        return Home(self.path)

    def run(self, verb: str, *arguments: object, exit_code: int = 0) -> dict[str, Any]:
        """`rengo member VERB … --home … --json`: its facts."""
        return call(cli.main, verb, *arguments, "--home", self.path, exit_code=exit_code)

    def said(self, verb: str, *arguments: object, language: str = "ja") -> str:
        """The same for a person."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            cli.main([verb, *map(str, arguments), "--home", str(self.path)], language)  # type: ignore[arg-type]
        return out.getvalue()

    def set_policy(self, **values: str) -> None:
        """Change lines of policy.toml."""
        file = self.home.file("policy.toml")
        lines = [
            f"{key} = {values[key]}" if (key := line.partition("=")[0].strip()) in values else line
            for line in file.read_text(encoding="utf-8").splitlines()
        ]
        file.write_text("\n".join(lines), encoding="utf-8")


def call(main: Callable[..., int], *arguments: object, exit_code: int = 0) -> dict[str, Any]:
    """Run a noun with --json; the facts that it prints. Raises what it raises."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main([*map(str, arguments), "--json"], "en") == exit_code
    lines = out.getvalue().splitlines()
    facts: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return facts


def consortium(folder: Path) -> Consortium:
    """`rengo coordinator init` in a new folder; nobody has joined."""
    port = free_port()
    made = Consortium(folder, port)
    url = f"https://127.0.0.1:{port}"
    call(coordinator_cli.main, "init", "名古屋製造業コンソーシアム", "--url", url, "--home", made.home.path)
    return made


@contextlib.contextmanager
def three_sites(folder: Path) -> Iterator[tuple[Consortium, list[Site]]]:
    """Three joined sites in a published roster, and the registry listening."""
    made = consortium(folder)
    with made.listening():
        sites = [made.join(id) for id in DOCUMENTS]
        made.publish_roster()
        yield made, sites


def journal_of(site: Site) -> list[str]:
    """The kinds of what left the site, in order."""
    journal = Journal(site.home.file("journal.sqlite"))
    kinds = [row.kinds for row in journal.sent()]
    journal.close()
    return kinds
