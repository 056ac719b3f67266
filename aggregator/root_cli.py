"""`rengo root …`: the consortium's root key, on the machine that keeps it. Needs no network and no coordinator."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from aggregator import roster_files
from aggregator.home import read_identity
from aggregator.roster_files import RosterFile
from federation.commands import NotConfirmed, Printer, Result, Verb, confirmed, dispatch, option
from federation.errors import Language, RengoError
from federation.identity import SignedRoster
from federation.token import fingerprint, spoken


class NotTheRoot(RengoError):
    """The key in {path} is not this consortium's root: its fingerprint is {actual}, the root's is {expected}. Nothing
    was signed. Give the root key's file with --key."""

    ja = (
        "{path} の鍵はこのコンソーシアムのルート鍵ではありません（照合値 {actual}、ルートは {expected}）。"
        "署名していません。--key でルート鍵のファイルを指定してください。"
    )
    exit_code = 4


def main(argv: list[str], language: Language) -> int:
    """`rengo root`."""
    words: Mapping[Language, str] = {
        "en": "The consortium's root key, on the machine that keeps it.",
        "ja": "コンソーシアムのルート鍵（保管している機械で使います）。",
    }
    return dispatch("root", words, _VERBS, argv, language)


def sign(options: argparse.Namespace, printer: Printer) -> Result:
    """Show who would be vouched for, ask, sign."""
    hint = "Give the root key's file with --key.", "--key でルート鍵のファイルを指定してください。"
    root = read_identity(options.key, "root", *hint)
    file = roster_files.read(options.roster)
    if root.public_key != file.root:
        actual, expected = (spoken(fingerprint(key)) for key in (root.public_key, file.root))
        raise NotTheRoot(path=options.key, actual=actual, expected=expected)
    proposed = file.roster
    if not printer.as_json:
        print(roster_files.text(proposed, printer.language))
    question: Mapping[Language, str] = {"en": "Sign this roster?", "ja": "この参加者名簿に署名しますか？"}
    if not confirmed(question, printer.language, options.yes):
        raise NotConfirmed
    signed = SignedRoster.sign(proposed, root)
    roster_files.write(options.out, RosterFile(proposed, file.root, signed.signature))
    text = {"en": f"Signed: {options.out}", "ja": f"署名しました: {options.out}"}[printer.language]
    return Result(roster_files.facts(proposed) | {"file": str(options.out)}, text)


_VERBS = (
    Verb(
        "sign",
        sign,
        {"en": "sign a roster, after showing it", "ja": "参加者名簿を表示して署名"},
        "rengo root sign roster-2 --key root.key --out roster-2.signed",
        (
            option("roster", type=Path, en="what `rengo coordinator roster --out` wrote", ja="署名前の名簿"),
            option("--key", type=Path, required=True, en="the root's private key", ja="ルートの秘密鍵"),
            option("--out", type=Path, required=True, en="the signed roster", ja="署名済み名簿の保存先"),
            option("--yes", action="store_true", en="do not ask", ja="確認しない"),
        ),
    ),
)
