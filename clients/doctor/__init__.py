"""`rengo member doctor`: everything that could keep a site from taking part. It changes nothing, and needs no approval.

One function a check, in network.py and machine.py; each returns a Check or raises the error that says what is wrong.
"""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from clients.approving import proposal
from clients.commands.site import opened_journal, registry_of
from clients.doctor import machine, network
from clients.doctor.check import Check, facts, failed, fine, not_checked, table, tried, worst
from clients.home import Home, NoMemberHere
from clients.journal import Journal
from federation.commands import Result
from federation.errors import Language, RengoError
from federation.plan import Plan
from federation.registry import Standing


def report(home: Home, language: Language, *, measure: bool) -> Result:
    """Every check, as a table. The exit code is that of the worst. `measure`: also load the model and train a step."""
    checks = list(_checks(home, measure))
    return Result(facts(checks, language), table(checks, language), worst(checks))


def _checks(home: Home, measure: bool) -> Iterator[Check]:
    yield tried("state folder", lambda: machine.state(home))
    yield tried("disk", lambda: machine.disk(home))
    yield machine.terminal()
    try:
        settings = home.settings()
        with opened_journal(home) as journal:
            at = urlsplit(settings.registry)
            standing, plan = None, None
            for check, answer in _network(home, journal, at.hostname or "", at.port or 443):
                standing = answer or standing
                yield check
            if standing is not None:
                check, plan = _proposed(home, standing)
                yield check
            yield tried("versions", lambda: machine.versions(standing))
            contributions = journal.contributions()
            yield tried("policy", lambda: machine.policy(home, plan, contributions))
        yield from _local(home, plan, measure)
    except NoMemberHere as error:
        yield tried("versions", lambda: machine.versions(None))
        yield failed("member", error)
    except RengoError as error:  # member.toml or the journal cannot be read
        yield failed("member", error)


def _network(home: Home, journal: Journal, host: str, port: int) -> Iterator[tuple[Check, Standing | None]]:
    """The way out; after the first thing that fails, what lies behind it cannot be checked."""
    authority = home.file("ca.pem").read_text(encoding="ascii")
    standing: list[Standing] = []

    def clock() -> Check:
        check, answer = network.clock_offset(registry_of(home, journal), home.identity())
        standing.append(answer)
        return check

    steps: dict[str, Callable[[], Check]] = {
        "name server": lambda: network.name_server(host, port),
        "proxy": lambda: network.proxy(host, port),
        "TLS": lambda: network.tls("TLS", host, port, authority),
        "clock": clock,
        "carrier": lambda: network.carrier(standing[0].carrier, authority),
    }
    failing = ""
    for name, look in steps.items():
        check = not_checked(name, failing) if failing else tried(name, look)
        # A carrier that fails keeps nobody from what the coordinator said.
        if check.exit_code and not standing:
            failing = name
        yield check, standing[0] if standing else None
    if failing:
        yield not_checked("coordinator", failing), None


def _proposed(home: Home, standing: Standing) -> tuple[Check, Plan | None]:
    """What the coordinator proposes, verified."""
    try:
        found = proposal(home, standing)
    except RengoError as error:
        return failed("coordinator", error), None
    version = found.roster.roster.version
    if found.plan is None:
        return fine("coordinator", f"roster {version}; no plan yet", f"名簿 版 {version}、計画の提案なし"), None
    plan = found.plan.digest().hex()[:16]
    return fine("coordinator", f"roster {version}; plan {plan}", f"名簿 版 {version}、計画 {plan}"), found.plan


def _local(home: Home, plan: Plan | None, measure: bool) -> Iterator[Check]:
    """Model and data, and the speed of a round when both are as they should be."""
    checks = [
        tried("memory", lambda: machine.memory(home)),
        tried("base model", lambda: machine.model(home, plan)),
        tried("parser", machine.parser),
        tried("data", lambda: machine.data(home)),
    ]
    yield from checks
    if plan is not None and measure and not worst(checks):
        yield tried("training", lambda: machine.training(home, plan))
