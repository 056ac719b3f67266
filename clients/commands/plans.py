"""review, approve, refuse, preview: what this site says to a plan."""

import argparse
import getpass
from collections.abc import Mapping, Sequence
from pathlib import Path

from clients import approving, policy_file, review
from clients.commands.running import next_step
from clients.commands.site import HOME, YES, Site, asked, opened_journal
from clients.home import Home
from clients.log_words import JAPANESE
from clients.policy_file import Breach
from federation import log
from federation.commands import NotConfirmed, Printer, Result, Verb, confirmed, option
from federation.errors import Language, RengoError, UsageError
from federation.identity import SignedRoster
from federation.output import claimed
from federation.plan import Plan
from federation.registry import APPROVED, REFUSED


class AnotherPlan(RengoError):
    """The plan that is proposed now is {now}, not {given}. Nothing was approved. `rengo member review` shows it."""

    ja = (
        "現在提案されている計画は {now} で、{given} ではありません。何も承認していません。"
        "`rengo member review` で確認してください。"
    )
    exit_code = 3


def show(options: argparse.Namespace, printer: Printer) -> Result:
    """The proposed plan in plain words: who, which model, how long, what leaves, and what policy.toml says to it."""
    with asked(options) as site:
        roster, plan, found = _proposed(site)
        digests = {"plan": plan.digest().hex(), "roster": roster.roster.digest().hex()}
        facts = review.facts(plan, site.home.settings().id, found)
        text = review.text(plan, roster.roster, site.home, found, printer.language)
        said = _said(site, plan)
    here = {"en": f"This site: {said}", "ja": f"この拠点: {_SAID_JA[said]}"}[printer.language]
    return Result(digests | {"version": roster.roster.version, "here": said} | facts, f"{text}\n{here}")


def approve(options: argparse.Namespace, printer: Printer) -> Result:
    """A person approves the plan, and with it the roster that it is for."""
    with asked(options) as site:
        roster, plan, found = _proposed(site)
        if options.plan:
            _require_named(plan, options.plan)
        approving.require_permitted(site.home, plan, site.journal)
        approver = options.approver or getpass.getuser()
        applicant = options.applicant or approver
        if not printer.as_json:
            print(review.text(plan, roster.roster, site.home, found, printer.language))
        question: Mapping[Language, str] = {"en": "Approve this plan?", "ja": "この計画を承認しますか？"}
        if not confirmed(question, printer.language, options.yes):
            raise NotConfirmed
        approving.approve(site.home, roster, plan, site.registry, site.journal, (applicant, approver))
        then = next_step(site.home, site.journal, plan)[printer.language]
    short = plan.digest().hex()[:16]
    words = {
        "en": f"Approved: plan {short}, by {approver} (applicant {applicant}). {then}",
        "ja": f"承認しました: 計画 {short}（申請者 {applicant}、承認者 {approver}）。{then}",
    }[printer.language]
    return Result({"plan": plan.digest().hex(), "applicant": applicant, "approver": approver}, words)


def refuse(options: argparse.Namespace, printer: Printer) -> Result:
    """A person refuses the plan; the coordinator is told the reason."""
    if not options.reason.strip():
        raise UsageError(
            detail="--reason is empty: the coordinator has to know what to change.",
            detail_ja="--reason が空です。事務局が何を直せばよいか分かるよう、理由を書いてください。",
            command="rengo member refuse",
        )
    with asked(options) as site:
        roster, plan, _ = _proposed(site)
        person = getpass.getuser()
        approving.refuse(site.home, roster.roster, plan, site.registry, site.journal, person, options.reason)
    words = {"en": "Refused, and the coordinator was told.", "ja": "拒否し、事務局に伝えました。"}[printer.language]
    return Result({"plan": plan.digest().hex(), "reason": options.reason}, words)


def close(options: argparse.Namespace, printer: Printer) -> Result:
    """End an open job for good at this site: its data is free for another one, and this one is never answered again."""
    with opened_journal(Home(options.home.absolute())) as journal:
        question: Mapping[Language, str] = {
            "en": f"Close job {options.job} for good? Nothing is answered in it any more.",
            "ja": f"ジョブ {options.job} を終了しますか？（以後、このジョブには一切応答しません）",
        }
        if not confirmed(question, printer.language, options.yes):
            raise NotConfirmed
        journal.close_job(options.job)
    words = {
        "en": f"Job {options.job} is closed at this site; its data is free for another job.",
        "ja": f"ジョブ {options.job} をこの拠点で終了しました。データは別のジョブに使えます。",
    }[printer.language]
    return Result({"job": options.job}, words)


def preview(options: argparse.Namespace, printer: Printer) -> Result:
    """Everything that would leave in one round, to the byte, into a folder. Nothing is sent."""
    home = Home(options.home.absolute())
    if options.approved:
        with opened_journal(home):
            approving.require_approved(home)
            plan, destination = home.plan(), ""
    else:
        with asked(options) as site:
            plan, destination = site.proposal.required_plan(), site.standing.carrier
            approving.require_permitted(home, plan, site.journal)
    log.begin(printer.language, JAPANESE, "%(message)s")
    # It brings torch along.
    from clients import preview as previewing

    with claimed(options.out, chosen=True) as folder:
        made = previewing.make(home, plan, destination)
        facts = previewing.write(made, folder, printer.language)
    return Result(facts, previewing.text(made, printer.language) + f"\n{folder}")


def _require_named(plan: Plan, words: Sequence[str]) -> None:
    """The digest that was typed, in groups or not, begins the proposed plan's, or AnotherPlan."""
    given = "".join("".join(words).split()).lower()
    if not given or not plan.digest().hex().startswith(given):
        raise AnotherPlan(now=plan.digest().hex()[:16], given=given[:64] or '""')


_SAID_JA = {"finished": "完了済み", APPROVED: "承認済み", REFUSED: "拒否済み", "undecided": "未決定"}


def _said(site: Site, plan: Plan) -> str:
    """What this site has said to the plan until now."""
    decisions = [decision.answer for decision in site.home.approvals() if decision.plan == plan.digest().hex()]
    if decisions and approving.is_finished(site.journal, plan):
        return "finished"
    return decisions[-1] if decisions else "undecided"


def _proposed(site: Site) -> tuple[SignedRoster, Plan, list[Breach]]:
    """What is proposed, and where it goes beyond policy.toml. Raises NothingProposed."""
    proposed = site.proposal
    plan = proposed.required_plan()
    found = policy_file.breaches(site.home.file("policy.toml"), plan, site.journal.contributions())
    return proposed.roster, plan, found


VERBS = {
    "review": Verb(
        "review",
        show,
        {"en": "the proposed plan in plain words", "ja": "提案された計画の内容を確認"},
        "rengo member review --lang ja",
        (HOME,),
    ),
    "approve": Verb(
        "approve",
        approve,
        {"en": "approve the proposed plan and its roster", "ja": "提案された計画と名簿を承認"},
        "rengo member approve --applicant sato --approver suzuki",
        (
            HOME,
            option("plan", nargs="*", en="the plan's digest, or its beginning", ja="計画のハッシュ（先頭のみ可）"),
            option("--applicant", en="who applied (default: approver)", ja="申請者（既定: 承認者）"),
            option("--approver", en="who approves (default: this user)", ja="承認者（既定: このユーザー）"),
            YES,
        ),
    ),
    "refuse": Verb(
        "refuse",
        refuse,
        {"en": "refuse the proposed plan", "ja": "提案された計画を拒否"},
        'rengo member refuse --reason "契約審査中"',
        (HOME, option("--reason", required=True, en="what the coordinator is told", ja="事務局に伝える理由")),
    ),
    "close": Verb(
        "close",
        close,
        {"en": "end an open job for good at this site", "ja": "実行中のジョブをこの拠点で終了（取り消し不可）"},
        "rengo member close trial-1",
        (HOME, option("job", en="the job's name", ja="ジョブ名"), YES),
    ),
    "preview": Verb(
        "preview",
        preview,
        {
            "en": "write what would leave in one round into a folder, and send nothing",
            "ja": "1 学習回で送られる内容をフォルダーに書き出す（何も送信しない）",
        },
        "rengo member preview --out preview",
        (
            HOME,
            option("--out", type=Path, required=True, en="a new folder to write to", ja="出力先（新しいフォルダー）"),
            option(
                "--approved",
                action="store_true",
                en="the approved plan, without any call",
                ja="承認済みの計画（通信なし）",
            ),
        ),
    ),
}
