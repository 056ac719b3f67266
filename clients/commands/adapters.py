"""personalise: what a site makes of a released adapter for itself."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from clients import approving
from clients.commands.site import HOME, opened_journal
from clients.home import Home
from clients.log_words import JAPANESE
from federation import log
from federation.arguments import folder
from federation.commands import Printer, Result, Verb, Words, option
from federation.errors import Language, UsageError
from federation.output import claimed

if TYPE_CHECKING:  # it brings torch along
    from clients.personalising import Personalised

_STRETCH: Words = {
    "en": "{done} of {of} rounds' worth of text: {loss:.4f} nats a token on the validation sample",
    "ja": "{of} 回分中 {done} 回: 検証用文書で {loss:.4f} nats/トークン",
}
_RESULT: dict[Language, str] = {
    "en": "{chosen}\n"
    "Test documents, which decided nothing (nats a token): base model {base:.4f}, adapter {given:.4f}, "
    "this one {kept:.4f}.\n"
    "{path}: it has learned from this site's documents alone. Keep it here.",
    "ja": "{chosen}\n"
    "選択に使っていないテスト文書（nats/トークン）: 基盤モデル {base:.4f}、元の差分 {given:.4f}、今回 {kept:.4f}\n"
    "{path}: この拠点の文書だけから学習しています。社外に出さないでください。",
}
_CHOSEN: dict[bool, Words] = {
    True: {
        "en": "Kept: the adapter after {after} of {rounds} rounds' worth of text, which validates best.",
        "ja": "採用: 検証損失が最小だった {after} 回分後（全 {rounds} 回分）の差分。",
    },
    False: {
        "en": "Kept: the adapter as it came. Nothing that was tried reads the validation sample better.",
        "ja": "採用: 元の差分のまま（試した範囲では検証損失が改善しませんでした）。",
    },
}


def personalise(options: argparse.Namespace, printer: Printer) -> Result:
    """Train a released adapter on over this site's own documents and write the best one. Nothing leaves."""
    if options.rounds < 1 or (options.learning_rate is not None and not 0 < options.learning_rate < 1):
        raise UsageError(
            detail="--rounds has to be 1 or more, and --learning-rate between 0 and 1.",
            detail_ja="--rounds は 1 以上、--learning-rate は 0 と 1 の間で指定してください。",
            command="rengo member personalise",
        )
    home = Home(options.home.absolute())
    log.begin(printer.language, JAPANESE, "%(message)s")
    from clients import personalising

    def told(done: int, of: int, loss: float) -> None:
        printer.line("personalise", _STRETCH, done=done, of=of, loss=loss)

    with opened_journal(home) as journal, claimed(options.out, chosen=True) as out:
        approving.require_approved(home)
        tuning = (options.rounds, options.learning_rate)
        made = personalising.personalise(home, home.plan(), journal, options.adapter, out, *tuning, told)
    return Result(personalising.facts(made) | {"path": str(out)}, _text(made, out, printer.language))


def _text(made: "Personalised", out: Path, language: Language) -> str:
    chosen = _CHOSEN[made.after > 0][language].format(after=made.after, rounds=made.rounds)
    losses = {"base": made.base.test, "given": made.given.test, "kept": made.kept.test}
    return _RESULT[language].format(chosen=chosen, path=out, **losses)


VERBS = {
    "personalise": Verb(
        "personalise",
        personalise,
        {"en": "train a released adapter on for this site alone", "ja": "公開された差分をこの拠点向けに追加学習"},
        "rengo member personalise adapter --out adapter-here",
        (
            HOME,
            option("adapter", type=folder, en="the job's folder `adapter`", ja="公開された `adapter` フォルダー"),
            option("--out", type=folder, required=True, en="a new folder", ja="出力先（新しいフォルダー）"),
            option(
                "--rounds",
                type=int,
                default=4,
                en="rounds' worth of tokens at most (default: 4)",
                ja="学習量の上限（学習回数分、既定: 4）",
            ),
            option(
                "--learning-rate",
                type=float,
                en="default: a quarter of the plan's",
                ja="学習率（既定: 計画の 4 分の 1）",
            ),
        ),
    ),
}
