"""What every verb of `rengo member` begins with: the site's folder, its journal, and a call of the registry."""

import argparse
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from clients.approving import Proposal, proposal
from clients.home import Home
from clients.journal import Journal
from clients.registry_client import RegistryClient, introduce
from federation.arguments import folder
from federation.commands import option
from federation.identity import Identity
from federation.output import disk_errors
from federation.registry import Standing
from federation.token import JoinToken, fingerprint

HOME = option(
    "--home",
    type=folder,
    default=folder(os.environ.get("RENGO_MEMBER") or "~/.rengo/member"),
    en="the member's folder (default: $RENGO_MEMBER, or ~/.rengo/member)",
    ja="参加拠点のフォルダー（既定: $RENGO_MEMBER または ~/.rengo/member）",
)
YES = option("--yes", action="store_true", en="do not ask", ja="確認しない")


@dataclass(frozen=True)
class Site:
    """A joined site with its journal open, and what stands at the registry."""

    home: Home
    identity: Identity
    journal: Journal
    registry: RegistryClient
    standing: Standing

    @property
    def proposal(self) -> Proposal:
        """The roster and plan that stand, verified."""
        return proposal(self.home, self.standing)


@contextlib.contextmanager
def asked(options: argparse.Namespace) -> Iterator[Site]:
    """The site of --home, with the registry's answer. Raises NoMemberHere, JournalDamaged and what the call raises."""
    home = Home(options.home.absolute())
    with opened_journal(home) as journal:
        registry = registry_of(home, journal)
        identity = home.identity()
        standing = registry.standing(identity)
        # The long-lived service asks nobody: it may run without any network.
        home.keep_carrier(standing.carrier)
        yield Site(home, identity, journal, registry, standing)


@contextlib.contextmanager
def opened_journal(home: Home) -> Iterator[Journal]:
    """The journal of a joined site. Raises NoMemberHere, JournalMissing, JournalDamaged, and OutputNotWritable for what
    the disk refuses inside."""
    home.settings()
    with disk_errors(home.path), contextlib.closing(Journal.existing(home.file("journal.sqlite"))) as journal:
        yield journal


def registry_of(home: Home, journal: Journal) -> RegistryClient:
    """The registry, whose coordinator's key is looked up first: the newest roster, signed by the root, names it."""
    settings, root = home.settings(), home.root()
    known = introduce(JoinToken(settings.registry, fingerprint(root), ""), journal.record)
    authority = home.file("ca.pem").read_text(encoding="ascii")
    return RegistryClient(settings.registry, root, known.roster.coordinator_key, authority, journal.record)
