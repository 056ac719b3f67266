"""Words that the programs of both sides use."""

from collections.abc import Mapping

from federation.errors import Language
from federation.step import GAIN_EDGES, GAINS

_GAINS: dict[Language, str] = {
    "en": "{lose} of {asked} members lose ({lose_much} of them more than {much:g} nats a token), {even} neither, "
    "{gain} gain ({gain_much} more than {much:g})",
    "ja": "{asked} 拠点中 悪化 {lose}（うち {much:g} nats 超 {lose_much}）、変化なし {even}、"
    "改善 {gain}（うち {much:g} nats 超 {gain_much}）",
}


def round_name(round: int, rounds: int, language: Language) -> str:
    """A round as people are told of it; the one after the last is the final measurement (ADR 4)."""
    if round > rounds:
        return {"en": "final measurement", "ja": "最終評価"}[language]
    return {"en": f"round {round} of {rounds}", "ja": f"学習回 {round}/{rounds}"}[language]


def gains_text(counts: Mapping[str, int], language: Language) -> str:
    """How many members lose or gain by the final adapter, against the base model. `counts`: by step.GAINS."""
    much_less, less, even, more, much_more = (counts[name] for name in GAINS)
    facts = {"lose": much_less + less, "lose_much": much_less, "even": even, "gain": more + much_more}
    asked = sum(counts.values())
    return _GAINS[language].format(**facts, gain_much=much_more, asked=asked, much=GAIN_EDGES[-1])
