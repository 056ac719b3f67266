"""What the adapters of several runs answered, side by side, and how they read general text."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from aggregator.simulate.rows import ARMS, Row

FIGURES = ("choice", "exact", "character_f1", "number", "part", "solution", "bits_per_character")
GENERAL = "general"

Probed = dict[str, dict[str, float]]
"""Arm -> figure -> its mean over seeds; `general`: bits a character of general text."""


def probed(row: Row) -> Probed:
    """Of each arm that all the row's runs have measured on the same; empty where they were asked different things."""
    asked = [run.summary.get("probes") or {} for run in row.runs]
    if any(_what(each) != _what(asked[0]) for each in asked):
        return {}
    found = {arm: [dict(_figures(each, arm)) for each in asked] for arm in ARMS}
    return {
        arm: {name: float(np.mean([run[name] for run in runs])) for name in runs[0] if all(name in run for run in runs)}
        for arm, runs in found.items()
        if runs[0]
    }


def what(row: Row) -> str:
    """The beginnings of the hashes of questions and general text, for one that shares neither with another."""
    return ", ".join(str(each)[:8] for each in _what(row.first.summary.get("probes") or {}) if each)


def _what(asked: Any) -> list[str | None]:
    return [asked.get(kind, {}).get("sha256") for kind in ("questions", GENERAL)]


def _figures(asked: Any, arm: str) -> Iterator[tuple[str, float]]:
    questions, general = asked.get("questions", {}).get(arm, {}), asked.get(GENERAL, {}).get(arm)
    for name in FIGURES:
        if found := questions.get(name):  # of some kinds there may be no question
            yield name, found["mean"]
    if general:
        yield GENERAL, general["mean"]
