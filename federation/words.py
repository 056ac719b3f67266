"""Words that the programs of both sides use."""

from federation.errors import Language


def round_name(round: int, rounds: int, language: Language) -> str:
    """A round as people are told of it; the one after the last is the final measurement (ADR 4)."""
    if round > rounds:
        return {"en": "final measurement", "ja": "最終評価"}[language]
    return {"en": f"round {round} of {rounds}", "ja": f"学習回 {round}/{rounds}"}[language]
