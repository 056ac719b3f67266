"""What a starting member asks the registry: whether its clock is right, where the carrier is, and what is proposed.

A site whose approvals stand needs no answer to take part. Machines that come back together after a power cut do not
wait for each other: the member starts with what it has, and the question is asked again until it is answered. Where
policy.toml approves plans, it is asked for as long as the member runs: that is how the next plan is found.
"""

import threading

from clients import clock
from clients.approving import approve_within_policy
from clients.commands.site import opened_journal, registry_of
from clients.home import Home, NothingApproved
from clients.journal import Journal
from clients.proxy import ProxyRefused, ProxySilent, ProxyUnreachable
from clients.registry_client import RegistryUnreachable
from federation.commands import Printer, Words
from federation.errors import RengoError

_WORDS: dict[str, Words] = {
    "approved": {
        "en": "{id}: plan {plan} is within policy.toml and was approved without a person",
        "ja": "{id}: 計画 {plan} は社内許可条件の範囲内のため、自動的に承認しました",
    },
    "away": {
        "en": "{id}: the registry is asked again in {pause:g} s, and the member goes on with what is approved. "
        "{reason} [{code}]",
        "ja": "{id}: 参加受付に接続できません。承認済みの内容で続行し、{pause:g} 秒後に再度確認します。"
        "{reason} [{code}]",
    },
    "asked": {"en": "{id}: the registry is reached", "ja": "{id}: 参加受付に接続しました"},
    "carrier": {
        "en": "{id}: the carrier is at {now} now, no longer at {before}. Next: rengo member stop; rengo member start",
        "ja": "{id}: 通信路の接続先が {before} から {now} に変わりました。次: rengo member stop; rengo member start",
    },
}
_AWAY = (RegistryUnreachable, ProxyUnreachable, ProxySilent, ProxyRefused)
"""It may be there later, and nothing is wrong at this site that a person has to see first."""
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 300.0
_NEXT_PLAN = 300.0
"""Seconds between two questions for a plan that policy.toml may approve. Each is a call that the journal records."""


def ask(home: Home, journal: Journal, printer: Printer) -> None:
    """Ask once. Raises ClockWrong and what the call raises; RefusedByPolicy or NothingApproved where policy.toml
    approves plans. It approves none while a job is open at this site, which would lose what it goes on with."""
    registry = registry_of(home, journal)
    standing, offset = clock.standing(registry, home.identity())
    clock.require_right(offset)
    home.keep_carrier(standing.carrier)
    if not journal.open_jobs() and (plan := approve_within_policy(home, standing, registry, journal)):
        printer.line("approved", _WORDS["approved"], id=home.settings().id, plan=plan.digest().hex()[:16])


def ask_until_answered(home: Home, journal: Journal, stopping: threading.Event, printer: Printer) -> None:
    """Ask, and where the registry is away or policy.toml approves plans, go on asking in the background until
    `stopping`. Raises what `ask` raises, RegistryUnreachable only where this site cannot begin without an answer."""
    told = ""
    try:
        ask(home, journal, printer)
    except _AWAY as error:
        if not _may_begin(home):
            raise
        _tell(home, error, _FIRST_PAUSE, printer)
        told = error.text("en")
    if told or home.policy().automatic_approval:
        asking = (home, stopping, told, printer)
        threading.Thread(target=_ask_again, args=asking, name="registry", daemon=True).start()


def _may_begin(home: Home) -> bool:
    """Whether a plan is approved, and known where the carrier is."""
    try:
        return home.approved(home.plan()) and bool(home.carrier())
    except NothingApproved:
        return False


def _ask_again(home: Home, stopping: threading.Event, told: str, printer: Printer) -> None:
    """Until it is answered, and then only where policy.toml approves plans. What keeps it from that is told when it is
    another thing than was `told` last (empty: nothing)."""
    id, pause = home.settings().id, _FIRST_PAUSE
    while not stopping.wait(pause if told else _NEXT_PLAN):
        pause = min(2 * pause, _LONGEST_PAUSE)
        before = home.carrier()
        try:
            # A connection of its own: the service writes to the other one.
            with opened_journal(home) as journal:
                ask(home, journal, printer)
        except RengoError as error:
            if error.text("en") != told:
                _tell(home, error, pause, printer)
                told = error.text("en")
            continue
        if told:
            printer.line("asked", _WORDS["asked"], id=id)
            told, pause = "", _FIRST_PAUSE
        if home.carrier() != before:
            printer.line("carrier", _WORDS["carrier"], id=id, now=home.carrier(), before=before)
        if not home.policy().automatic_approval:
            return


def _tell(home: Home, error: RengoError, pause: float, printer: Printer) -> None:
    facts = {"reason": error.text(printer.language), "code": error.code}
    printer.line("away", _WORDS["away"], id=home.settings().id, pause=pause, **facts)
