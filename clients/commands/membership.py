"""join, leave, roster: whom this site is together with."""

import argparse
import getpass
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clients import review
from clients.approving import approve_roster
from clients.commands.running import next_step, stopped
from clients.commands.site import HOME, YES, asked
from clients.home import Home
from clients.ingest import require_opened
from clients.joining import join as join_consortium
from federation import base_model
from federation.commands import NotConfirmed, Printer, Result, Verb, confirmed, option
from federation.errors import Language, RengoError, UsageError
from federation.identity import Roster
from federation.token import JoinToken, fingerprint, spoken


class TokenUnreadable(RengoError):
    """The join token's file {path} cannot be read ({detail}). Nothing was sent."""

    ja = "招待コードのファイル {path} を読めません（{detail_ja}）。何も送信していません。"
    exit_code = 4


def join(options: argparse.Namespace, printer: Printer) -> Result:
    """Spend a join token: keys are made here, and the consortium's root is checked first. What can be wrong at this
    site is found before: a token is good for once."""
    require_opened(options.data)
    if options.model is not None:
        base_model.check(options.model)
    token = JoinToken.parse(_token(options.token_file, printer.language))
    settings, identity = join_consortium(Home(options.home.absolute()), token, options.data, options.model)
    shown = spoken(fingerprint(identity.public_key))
    words = {
        "en": f"Joined as {settings.id}. Fingerprint of this site's key, for the coordinator to compare:\n  {shown}\n"
        "Next: rengo member doctor; then rengo member review, as soon as the root has signed a roster with you in it.",
        "ja": f"{settings.id} として参加しました。この拠点の鍵の照合値（事務局と照合）:\n  {shown}\n"
        "次: rengo member doctor。名簿に署名されたら rengo member review で計画を確認してください。",
    }[printer.language]
    return Result({"id": settings.id, "home": str(options.home), "fingerprint": shown}, words)


def leave(options: argparse.Namespace, printer: Printer) -> Result:
    """Tell the coordinator, then remove the keys. What left stays in the journal."""
    with asked(options) as site:
        id = site.home.settings().id
        names = {id} | {m.name for m in site.proposal.roster.roster.members if m.id == id}
        if _typed(options.name, id, printer.language) not in names:
            either = " / ".join(sorted(names))
            raise UsageError(
                detail=f"That is not the name of this site ({either}); nothing was changed.",
                detail_ja=f"この拠点の名前（{either}）と一致しません。何も変更していません。",
                command="rengo member leave",
            )
        stopped(site.home)
        site.registry.leave(site.identity)
    site.home.leave()
    words = {
        "en": f"{id} left: the coordinator was told, and the keys are removed. The journal and the approvals stay in "
        f"{site.home.path}: keep them as long as your rules for records say.",
        "ja": f"{id} は脱退しました。事務局に伝え、鍵を削除しました。送信記録簿と承認記録は {site.home.path} に"
        "残ります。記録の保存規程に従って保管してください。",
    }[printer.language]
    return Result({"id": id, "kept": str(site.home.file("journal.sqlite"))}, words)


def roster(options: argparse.Namespace, printer: Printer) -> Result:
    """Show the approved roster and the one that stands, or approve the latter."""
    with asked(options) as site:
        current = site.proposal.roster
        before = site.home.roster() if site.home.file("roster").exists() else None
        text = review.roster_text(current.roster, before, printer.language)
        facts = _facts(current.roster, before)
        if options.what == "show":
            return Result(facts, text)
        if not printer.as_json:
            print(text)
        question: Mapping[Language, str] = {"en": "Approve this roster?", "ja": "この参加者名簿を承認しますか？"}
        if not confirmed(question, printer.language, options.yes):
            raise NotConfirmed
        person = options.approver or getpass.getuser()
        plan = approve_roster(site.home, current, site.registry, site.journal, person)
        then = next_step(site.home, site.journal, plan)[printer.language] if plan else ""
    also = plan.digest().hex()[:16] if plan else ""
    words = {
        "en": f"Approved roster {current.roster.version}, by {person}."
        + (f" The approval of plan {also} was renewed under it. {then}" if also else ""),
        "ja": f"参加者名簿 版 {current.roster.version} を承認しました（承認者 {person}）。"
        + (f"計画 {also} の承認を更新しました。{then}" if also else ""),
    }[printer.language]
    return Result(facts | {"approver": person, "renewed_plan": also}, words)


def _token(path: Path | None, language: Language) -> str:
    """The token's text, from its file or typed unseen."""
    if path is None:
        if not sys.stdin.isatty():
            raise UsageError(
                detail="There is no terminal to ask for the join token on: give --token-file.",
                detail_ja="招待コードを入力する端末がないため、--token-file で指定してください。",
                command="rengo member join",
            )
        return getpass.getpass({"en": "Join token: ", "ja": "招待コード: "}[language])
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TokenUnreadable(path=path, detail=error.strerror, detail_ja=error.strerror) from error
    except UnicodeDecodeError as error:
        raise TokenUnreadable(path=path, detail="not text", detail_ja="テキストではありません") from error


def _typed(name: str | None, id: str, language: Language) -> str:
    if name is not None or not sys.stdin.isatty():
        return name or ""
    question = {
        "en": f"This removes the keys of {id} for good. Type the company's name, or {id}, to leave: ",
        "ja": f"{id} の鍵を完全に削除します。脱退するには会社名または {id} を入力してください: ",
    }
    return input(question[language]).strip()


def _facts(roster: Roster, before: Roster | None) -> dict[str, Any]:
    members = [{"id": m.id, "name": m.name, "fingerprint": spoken(fingerprint(m.public_key))} for m in roster.members]
    versions = {"version": roster.version, "approved_version": before.version if before else None}
    approved = before is not None and before.digest() == roster.digest()
    return {"consortium": roster.consortium, **versions, "approved": approved, "digest": roster.digest().hex()} | {
        "members": members
    }


VERBS = {
    "join": Verb(
        "join",
        join,
        {"en": "join a consortium with a join token", "ja": "招待コードでコンソーシアムに参加"},
        "rengo member join --token-file invite.txt --data /srv/manuals --model /srv/models/base",
        (
            HOME,
            option("--token-file", type=Path, en="the token's file; asked for without it", ja="招待コードのファイル"),
            option("--data", type=Path, required=True, en="folder with manuals and logs", ja="文書・ログのフォルダー"),
            option("--model", type=Path, en="folder with the base model (default: demo)", ja="基盤モデルのフォルダー"),
        ),
    ),
    "roster": Verb(
        "roster",
        roster,
        {"en": "show the roster and what changed, or approve it", "ja": "参加者名簿と変更点の表示、または承認"},
        "rengo member roster approve",
        (
            HOME,
            option("what", choices=("show", "approve"), en="show or approve", ja="show（表示）または approve（承認）"),
            option("--approver", en="who approves (default: this user)", ja="承認者（既定: このユーザー）"),
            YES,
        ),
    ),
    "leave": Verb(
        "leave",
        leave,
        {"en": "leave the consortium; keys go, records stay", "ja": "脱退（鍵は削除、記録は保存）"},
        "rengo member leave",
        (
            HOME,
            option(
                "--name",
                en="the member's id or company's name, instead of typing it",
                ja="拠点 ID または会社名（入力の代わり）",
            ),
        ),
    ),
}
