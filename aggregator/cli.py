"""`rengo coordinator …`: the command line of a consortium's coordinator."""

import argparse
import contextlib
import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from aggregator import members_text, roster_files, serving
from aggregator.commands import running, saving
from aggregator.home import HOME, Home, Settings, require_free, write_private
from aggregator.new_consortium import addresses, make_keys, require_listenable
from aggregator.planning import make_plan
from aggregator.registry import Registered
from aggregator.roster_files import RosterFile
from federation import load_plan
from federation.commands import Printer, Result, Verb, Words, dispatch, option
from federation.errors import Language, UsageError
from federation.identity import COORDINATOR, Roster
from federation.output import all_or_nothing, disk_errors
from federation.text import is_printable, printable
from federation.token import JoinToken, fingerprint, spoken

_FIRST_FREE_PORT = 1024
"""Below, Linux lets only privileged programs listen."""
_UNITS = {"m": 60, "h": 3600, "d": 86400}


def main(argv: list[str], language: Language) -> int:
    """`rengo coordinator`."""
    words: Mapping[Language, str] = {
        "en": "The coordinator of a consortium: invites members, runs rounds, and learns only sums.",
        "ja": "コンソーシアムの事務局: 参加拠点を招待し、学習回を実行します（知り得るのは合計だけです）。",
    }
    return dispatch("coordinator", words, _VERBS, argv, language)


def init(options: argparse.Namespace, printer: Printer) -> Result:
    """Keys, certificates and a first, empty roster."""
    home, settings = Home(options.home.absolute()), _checked(options)
    root_key = options.root_key or home.root_key
    require_free(root_key)
    with disk_errors(home.path), all_or_nothing(home.path):
        home.create(settings)
        root = make_keys(home, settings, root_key)
    shown, ports = spoken(fingerprint(root)), _ports_words(settings)[printer.language]
    text = {
        "en": f"Consortium {options.name} in {home.path}.\n{ports}\n"
        f"Root fingerprint, to be compared out of band:\n  {shown}\n"
        f"The root's private key is {root_key}: move it to a machine that is not this one.",
        "ja": f"コンソーシアム {options.name} を {home.path} に作成しました。\n{ports}\n"
        f"ルートの照合値（別経路で照合）:\n  {shown}\n"
        f"ルートの秘密鍵は {root_key} です。別の機械へ移してください。",
    }[printer.language]
    facts = {"home": str(home.path), "url": settings.url, "carrier": settings.carrier}
    return Result(facts | {"root": root.hex(), "fingerprint": shown}, text)


def _checked(options: argparse.Namespace) -> Settings:
    """What `init` was given. Raises UsageError before anything is written."""
    url, carrier = addresses(options.url, options.carrier)
    require_listenable(options.listen)
    if not options.name.strip():
        raise _usage("init", "The consortium's name is empty.", "コンソーシアムの名前が空です。")
    if options.wait < 0:
        raise _usage("init", "--wait has to be 0 or more.", "--wait は 0 以上で指定してください。")
    _require_printable("--name", options.name, "init")
    return Settings(options.name, url, carrier, options.listen, options.wait)


def _ports_words(settings: Settings) -> Words:
    """Which two ports members need, and what ports below 1024 need here."""
    registry, carrier = settings.registry_port, settings.carrier_port
    low = min(registry, carrier) < _FIRST_FREE_PORT
    return {
        "en": f"Members reach it at port {registry} (registry) and {carrier} (carrier)."
        + (" Below 1024, `start` needs the right to listen: root, or CAP_NET_BIND_SERVICE." if low else ""),
        "ja": f"参加拠点からの接続先はポート {registry}（受付）と {carrier}（通信路）です。"
        + ("1024 未満のため、start には待ち受けの権限（root または CAP_NET_BIND_SERVICE）が必要です。" if low else ""),
    }


def invite(options: argparse.Namespace, printer: Printer) -> Result:
    """A join token for one member, shown once."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", options.id) or options.id == COORDINATOR:
        detail = "A member's id is made of a-z, 0-9 and '-', at most 63 of them."
        raise _usage("invite", detail, "参加拠点の ID に使えるのは a-z・0-9・- だけで、63 文字までです。")
    _require_printable("--name", options.name or "", "invite")
    # First: a token that cannot be written down would leave the member without any.
    require_free(options.out)
    home = Home(options.home)
    token = JoinToken.create(home.settings().url, home.key("root.pub").read_bytes())
    expires = datetime.datetime.now(datetime.UTC) + _duration(options.expires)
    with contextlib.closing(serving.open_registry(home)) as registry:
        if options.out:
            write_private(options.out, (token.text() + "\n").encode())
        try:
            with disk_errors(home.path.absolute()):
                registry.invite(options.id, options.name or options.id, token.secret_digest(), expires)
        except BaseException:
            if options.out:
                options.out.unlink()
            raise
    until = expires.isoformat(timespec="minutes")
    where = str(options.out) if options.out else token.text()
    text = {
        "en": f"{where}\nFor {options.id} alone, once, until {until}. It is not shown again: hand it over in secret.",
        "ja": f"{where}\n{options.id} 専用・1 回限り・{until} まで。再表示できません。安全な方法で渡してください。",
    }[printer.language]
    facts = {"id": options.id, "expires": until} | ({"file": where} if options.out else {"token": where})
    return Result(facts, text)


def _require_printable(option: str, text: str, verb: str) -> None:
    """Raises UsageError: the root would not sign a roster with it."""
    if not is_printable(text):
        detail = f"{option} contains characters that cannot be seen: {printable(text)}."
        raise _usage(verb, detail, f"{option} に表示できない文字が含まれています: {printable(text)}。")


def revoke(options: argparse.Namespace, printer: Printer) -> Result:
    """The member is missing from the next roster."""
    registry = serving.open_registry(Home(options.home))
    registry.revoke(options.id)
    registry.close()
    text = {
        "en": f"{options.id} is revoked. It leaves the roster with the next one: rengo coordinator roster --out FILE",
        "ja": f"{options.id} を失効させました。次の参加者名簿から外れます: rengo coordinator roster --out ファイル",
    }[printer.language]
    return Result({"id": options.id}, text)


def members(options: argparse.Namespace, printer: Printer) -> Result:
    """Who joined, with fingerprints, and who is in the roster."""
    registry = serving.open_registry(Home(options.home))
    newest, joined, invited = registry.roster().roster, registry.members(), registry.open_invitations()
    proposed = registry.proposed()
    consents = registry.consents(proposed[1], newest.digest()) if proposed else {}
    registry.close()
    facts: dict[str, object] = {"roster": newest.version}
    facts |= {"members": [_member_facts(m, newest) | _answer(consents.get(m.id)) for m in joined]}
    facts |= {"invitations": [asdict(invitation) for invitation in invited]}
    return Result(facts, members_text.text(joined, newest, invited, consents, printer.language))


def roster(options: argparse.Namespace, printer: Printer) -> Result:
    """Write the next roster for the root to sign, or publish a signed one."""
    home = Home(options.home)
    registry, root = serving.open_registry(home), home.key("root.pub").read_bytes()
    if options.publish:
        signed = roster_files.read_signed(options.publish, root)
        registry.publish_roster(signed)
        current, where = signed.roster, "published"
    elif options.out:
        current, where = registry.proposal(), str(options.out)
        roster_files.write(options.out, RosterFile(current, root, b""))
    else:
        current, where = registry.roster().roster, "current"
    registry.close()
    return Result(roster_files.facts(current) | {"where": where}, roster_files.text(current, printer.language))


def plan(options: argparse.Namespace, printer: Printer) -> Result:
    """A resolved plan on standard output; the base model's shapes are remembered here."""
    registry = serving.open_registry(Home(options.home))
    made, shapes = make_plan(options.rest, registry.roster().roster)
    registry.keep_model(made.model.sha256, json.dumps(shapes))
    registry.close()
    facts = {"plan": load_plan.to_yaml(made), "digest": made.digest().hex(), "members": list(made.members)}
    near = made.neighbourhoods.facts if made.neighbourhoods else {}
    # What follows from the plan is a comment in its file: nobody has to be told.
    lines = [f"# {name}: {figure:g}\n" for name, figure in near.items()]
    return Result(facts | {"neighbourhoods": near}, "".join(lines) + load_plan.to_yaml(made).rstrip())


def _usage(verb: str, detail: str, detail_ja: str) -> UsageError:
    return UsageError(detail=detail, detail_ja=detail_ja, command=f"rengo coordinator {verb}")


def _duration(text: str) -> datetime.timedelta:
    match = re.fullmatch(r"(\d{1,4})([mhd])", text)
    if not match or not int(match[1]):
        detail = "--expires is a number from 1 on and m, h or d, as in 7d."
        raise _usage("invite", detail, "--expires は 1 以上の数と m・h・d で指定してください（例: 7d）。")
    return datetime.timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _member_facts(member: Registered, newest: Roster) -> dict[str, object]:
    return {
        "id": member.id,
        "name": member.name,
        "state": members_text.state(member, newest),
        "fingerprint": spoken(fingerprint(member.identity_key)),
        "joined": member.joined,
        "seen": member.seen,
        "clock_offset": member.offset,
        "rengo": member.rengo,
    }


def _answer(consent: tuple[str, str] | None) -> dict[str, object]:
    """What the site said of the plan that is proposed now; None when nothing yet."""
    answer, reason = consent or (None, "")
    return {"plan": answer, "reason": reason}


_VERBS = (
    Verb(
        "init",
        init,
        {"en": "make a new consortium on this machine", "ja": "この機械に新しいコンソーシアムを作成"},
        'rengo coordinator init "名古屋製造業コンソーシアム" --url https://rengo.example.jp:8443',
        (
            HOME,
            option("name", en="its name; part of every signature", ja="名称（すべての署名に含まれます）"),
            option(
                "--url",
                required=True,
                en="where members reach it: https://HOST:PORT (443 without a port)",
                ja="参加拠点からの接続先（ポート省略時は 443）",
            ),
            option(
                "--carrier", en="HOST:PORT for Flower (default: next port)", ja="Flower の接続先（既定: 次のポート）"
            ),
            option("--listen", default="0.0.0.0", en="address to listen on", ja="待ち受けアドレス"),  # noqa: S104
            option("--root-key", type=Path, en="where to write the root's private key", ja="ルート秘密鍵の保存先"),
            option(
                "--wait", type=int, default=600, en="seconds to wait for the last members", ja="未接続拠点を待つ秒数"
            ),
        ),
    ),
    Verb(
        "invite",
        invite,
        {"en": "a join token for one member", "ja": "参加拠点 1 社の招待コードを発行"},
        "rengo coordinator invite toyo-kikai --name 東洋機械 --expires 7d",
        (
            HOME,
            option("id", en="the member's id: a-z, 0-9, '-'", ja="参加拠点の ID（a-z、0-9、-）"),
            option("--name", en="its name, for people", ja="表示名"),
            option("--expires", default="7d", en="30m, 12h, 7d (default)", ja="有効期間（30m、12h、7d。既定 7d）"),
            option(
                "--out", type=Path, en="write it to this file (0600) instead", ja="画面でなくファイルに保存（0600）"
            ),
        ),
    ),
    Verb(
        "members",
        members,
        {"en": "who joined, and their keys' fingerprints", "ja": "参加拠点と鍵の照合値の一覧"},
        "rengo coordinator members",
        (HOME,),
    ),
    Verb(
        "revoke",
        revoke,
        {"en": "a member takes part no more", "ja": "参加拠点を失効させる"},
        "rengo coordinator revoke toyo-kikai",
        (HOME, option("id", en="the member's id", ja="参加拠点の ID")),
    ),
    Verb(
        "roster",
        roster,
        {
            "en": "show the roster; write the next one to be signed; publish a signed one",
            "ja": "参加者名簿の表示・作成・公開",
        },
        "rengo coordinator roster --out roster-2   (then: rengo root sign roster-2; rengo coordinator roster "
        "--publish roster-2.signed)",
        (
            HOME,
            option("--out", type=Path, en="write the next roster here, to be signed", ja="署名前の次の名簿を保存"),
            option("--publish", type=Path, en="a roster that the root signed", ja="ルートが署名した名簿を公開"),
        ),
    ),
    Verb(
        "plan",
        plan,
        {
            "en": "a job's plan from settings, all faults at once",
            "ja": "設定からジョブの計画を作成（誤りは一度に報告）",
        },
        "rengo coordinator plan job=trial-1 model=/srv/models/base scheme=alternating rounds=20 > plan.yaml",
        (HOME,),
        rest=True,
    ),
    *running.VERBS,
    *saving.VERBS,
)
