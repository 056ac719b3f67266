"""`rengo member …`: the command line of a member's IT team."""

import argparse
import getpass
import json
import logging
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clients import home as homes
from clients import review, service_cli
from clients.home import Approval, Home
from clients.joining import join as join_consortium
from clients.registry_client import RegistryClient
from federation import load_plan
from federation.commands import Printer, Result, Verb, confirmed, dispatch, option
from federation.errors import DataFolderInvalid, Language, RengoError, UsageError
from federation.identity import Roster, SignedRoster
from federation.plan import Plan
from federation.registry import APPROVED, REFUSED, Standing
from federation.token import JoinToken, fingerprint, spoken

_HOME = option(
    "--home",
    type=Path,
    default=Path(os.environ.get("RENGO_MEMBER", "~/.rengo/member")).expanduser(),
    en="the member's folder (default: $RENGO_MEMBER, or ~/.rengo/member)",
    ja="参加拠点のフォルダー（既定: $RENGO_MEMBER または ~/.rengo/member）",
)
_YES = option("--yes", action="store_true", en="do not ask", ja="確認しない")


class RefusedByPolicy(RengoError):
    """This site's policy does not permit it: {detail}."""

    ja = "社内許可条件により許可されません: {detail_ja}。"
    exit_code = 11


class NothingProposed(RengoError):
    """The coordinator proposes no plan at present. Try again later."""

    ja = "事務局から提案されている計画はありません。後でもう一度お試しください。"
    exit_code = 9


def main(argv: list[str], language: Language) -> int:
    """`rengo member`."""
    words: Mapping[Language, str] = {
        "en": "A member's site: documents stay here; only masked updates of approved plans leave.",
        "ja": "参加拠点: 文書は社外に出ません。承認した計画の、秘匿された更新だけが送られます。",
    }
    return dispatch("member", words, _VERBS, argv, language)


def join(options: argparse.Namespace, printer: Printer) -> Result:
    """Spend a join token: keys are made here, and the consortium's root is checked first."""
    if not options.data.is_dir():
        raise DataFolderInvalid(path=options.data, detail="there is no such folder", detail_ja="フォルダーがありません")
    text = options.token_file.read_text(encoding="utf-8") if options.token_file else getpass.getpass("token: ")
    settings, identity = join_consortium(
        Home(options.home.absolute()), JoinToken.parse(text), options.data, options.model
    )
    shown = spoken(fingerprint(identity.public_key))
    words = {
        "en": f"Joined as {settings.id}. Fingerprint of this site's key, for the coordinator to compare:\n  {shown}\n"
        "Next: rengo member doctor; then rengo member review, as soon as the root has signed a roster with you in it.",
        "ja": f"{settings.id} として参加しました。この拠点の鍵の照合値（事務局と照合）:\n  {shown}\n"
        "次: rengo member doctor。名簿に署名されたら rengo member review で計画を確認してください。",
    }[printer.language]
    return Result({"id": settings.id, "home": str(options.home), "fingerprint": shown}, words)


def show(options: argparse.Namespace, printer: Printer) -> Result:
    """The proposed plan in plain words: who, which model, how long, what leaves."""
    home = Home(options.home)
    roster, plan, _ = _proposed(home)
    facts = {"plan": plan.digest().hex(), "roster": roster.roster.digest().hex(), "version": roster.roster.version}
    return Result(
        facts | review.facts(plan, home.settings().id), review.text(plan, roster.roster, home, printer.language)
    )


def approve(options: argparse.Namespace, printer: Printer) -> Result:
    """A person approves the plan, and with it the roster that it is for."""
    home = Home(options.home)
    roster, plan, client = _proposed(home)
    if home.settings().id not in plan.members:
        raise RefusedByPolicy(detail="this site is not in the plan", detail_ja="この拠点は計画に含まれていません")
    if options.plan and not plan.digest().hex().startswith(options.plan.lower()):
        detail = f"the plan proposed now is {plan.digest().hex()[:16]}, not {options.plan[:64]}"
        raise RefusedByPolicy(detail=detail, detail_ja=detail)
    approver = options.approver or getpass.getuser()
    applicant = options.applicant or approver
    if home.policy().two_persons and approver == applicant:
        detail = "applicant and approver have to be two persons (policy.toml: two_persons)"
        raise RefusedByPolicy(detail=detail, detail_ja="申請者と承認者は別人でなければなりません（policy.toml）")
    if not printer.as_json:
        print(review.text(plan, roster.roster, home, printer.language))
    question: Mapping[Language, str] = {"en": "Approve this plan?", "ja": "この計画を承認しますか？"}
    if not confirmed(question, printer.language, options.yes):
        raise UsageError(detail="Nothing was approved: say --yes, or answer y.", command="rengo member approve")
    approval = _decision(APPROVED, plan, roster.roster, applicant, approver, "")
    home.approve(roster, plan, approval)
    client.consent(home.identity(), plan.digest(), roster.roster.digest(), APPROVED, "")
    short = plan.digest().hex()[:16]
    words = {
        "en": f"Approved: plan {short}, by {approver} (applicant {applicant}). Next: rengo member start",
        "ja": f"承認しました: 計画 {short}（申請者 {applicant}、承認者 {approver}）。次: rengo member start",
    }[printer.language]
    return Result({"plan": plan.digest().hex(), "applicant": applicant, "approver": approver}, words)


def refuse(options: argparse.Namespace, printer: Printer) -> Result:
    """A person refuses the plan; the coordinator is told the reason."""
    home = Home(options.home)
    roster, plan, client = _proposed(home)
    person = getpass.getuser()
    home.note(_decision(REFUSED, plan, roster.roster, person, person, options.reason))
    client.consent(home.identity(), plan.digest(), roster.roster.digest(), REFUSED, options.reason[:500])
    words = {"en": "Refused, and the coordinator was told.", "ja": "拒否し、事務局に伝えました。"}[printer.language]
    return Result({"plan": plan.digest().hex(), "reason": options.reason}, words)


def start(options: argparse.Namespace, printer: Printer) -> None:
    """Load model and data, listen, connect outward, until told to stop."""
    # They bring torch and Flower along, which help and wrong arguments must not wait for.
    from clients import running

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    running.run(Home(options.home.absolute()), printer)


def status(options: argparse.Namespace, printer: Printer) -> Result:
    """What the service wrote last. Exit code 9 when it does not run."""
    home = Home(options.home)
    home.settings()
    facts = _status(home)
    text = "\n".join(f"{name:10} {value}" for name, value in facts.items() if value != "")
    return Result(facts, text, 0 if facts["running"] else 9)


def stop(options: argparse.Namespace, printer: Printer) -> Result:
    """Ask the running member to end, and wait until it has."""
    home = Home(options.home)
    home.settings()
    facts = _status(home)
    if facts["running"]:
        os.kill(int(facts["pid"]), signal.SIGTERM)
        until = time.monotonic() + 60
        while _status(home)["running"] and time.monotonic() < until:
            time.sleep(0.2)
    stopped = not _status(home)["running"]
    words = {"en": "stopped" if stopped else "it is still running", "ja": "停止" if stopped else "まだ動作中です"}
    return Result({"stopped": stopped}, words[printer.language], 0 if stopped else 9)


def _proposed(home: Home) -> tuple[SignedRoster, Plan, RegistryClient]:
    """The roster and plan that stand at the registry, verified. Raises NothingProposed."""
    client = _client(home)
    standing = client.standing(home.identity())
    roster = _newer(home, standing)
    # The long-lived service asks nobody: it may run without any network.
    home.keep_carrier(standing.carrier)
    if not standing.plan:
        raise NothingProposed
    return roster, load_plan.from_yaml(standing.plan.decode(), Plan), client


def _newer(home: Home, standing: Standing) -> SignedRoster:
    """The registry's roster: signed by the root, and never an older version than the approved one."""
    roster = standing.verified_roster(home.root())
    if home.file("roster").exists() and roster.version < home.roster().version:
        detail = f"roster {roster.version} is older than the approved {home.roster().version}"
        raise RefusedByPolicy(detail=detail, detail_ja=f"名簿の版 {roster.version} は承認済みの版より古いものです")
    return SignedRoster(roster, standing.roster_signature)


def _client(home: Home) -> RegistryClient:
    # The coordinator's key comes with each answer's roster only after it was verified: from the introduction at first.
    from clients.registry_client import introduce

    settings, root = home.settings(), home.root()
    known = introduce(JoinToken(settings.registry, fingerprint(root), ""))
    authority = home.file("ca.pem").read_text(encoding="ascii")
    return RegistryClient(settings.registry, root, known.roster.coordinator_key, authority)


def _decision(answer: str, plan: Plan, roster: Roster, applicant: str, approver: str, reason: str) -> Approval:
    digests = plan.digest().hex(), roster.digest().hex()
    return Approval(homes.now(), answer, *digests, applicant, approver, reason)


def _status(home: Home) -> dict[str, Any]:
    path = home.file("status.json")
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"pid": 0}
    try:
        os.kill(int(facts["pid"]) or 2**30, 0)
        facts["running"] = facts.get("phase") != "stopped"
    except OSError:
        facts["running"] = False
    return facts


_VERBS = (
    Verb(
        "join",
        join,
        {"en": "join a consortium with a join token", "ja": "招待コードでコンソーシアムに参加"},
        "rengo member join --token-file invite.txt --data /srv/manuals --model /srv/models/base",
        (
            _HOME,
            option("--token-file", type=Path, en="the token's file; asked for without it", ja="招待コードのファイル"),
            option("--data", type=Path, required=True, en="folder with manuals and logs", ja="文書・ログのフォルダー"),
            option("--model", type=Path, en="folder with the base model (default: demo)", ja="基盤モデルのフォルダー"),
        ),
    ),
    Verb(
        "review",
        show,
        {"en": "the proposed plan in plain words", "ja": "提案された計画の内容を確認"},
        "rengo member review --lang ja",
        (_HOME,),
    ),
    Verb(
        "approve",
        approve,
        {"en": "approve the proposed plan and its roster", "ja": "提案された計画と名簿を承認"},
        "rengo member approve --applicant sato --approver suzuki",
        (
            _HOME,
            option("plan", nargs="?", en="the plan's digest, or its beginning", ja="計画のハッシュ（先頭のみ可）"),
            option("--applicant", en="who applied (default: approver)", ja="申請者（既定: 承認者）"),
            option("--approver", en="who approves (default: this user)", ja="承認者（既定: このユーザー）"),
            _YES,
        ),
    ),
    Verb(
        "refuse",
        refuse,
        {"en": "refuse the proposed plan", "ja": "提案された計画を拒否"},
        'rengo member refuse --reason "契約審査中"',
        (_HOME, option("--reason", required=True, en="what the coordinator is told", ja="事務局に伝える理由")),
    ),
    Verb(
        "start",
        start,
        {"en": "load model and data, connect outward, take part", "ja": "モデルとデータを読み込み、参加を開始"},
        "rengo member start",
        (_HOME,),
    ),
    Verb("status", status, {"en": "what it is doing", "ja": "動作状況"}, "rengo member status --json", (_HOME,)),
    Verb("stop", stop, {"en": "stop it", "ja": "停止"}, "rengo member stop", (_HOME,)),
    *service_cli.verbs(_HOME),
)
