"""curves.png (loss by round, differences between arms), members.png (each member before and after) and probes.png (what
each arm answers)."""

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from aggregator.simulate.arms import Arm
from aggregator.simulate.comparison import Comparison
from aggregator.simulate.differences import Interval
from aggregator.simulate.runs import Curve

matplotlib.use("Agg")
from matplotlib import font_manager, pyplot

# Members have Japanese names. Whichever of these is installed follows the usual font.
_JAPANESE = (
    *("Noto Sans CJK JP", "Noto Sans JP", "IPAexGothic", "IPAGothic", "TakaoPGothic", "VL Gothic", "BIZ UDGothic"),
    *("Yu Gothic", "Meiryo", "MS Gothic", "Hiragino Sans", "Noto Serif CJK JP", "IPAexMincho"),
)
_installed = {font.name for font in font_manager.fontManager.ttflist}
pyplot.rcParams["font.family"] = ["DejaVu Sans", *(name for name in _JAPANESE if name in _installed)]
# Without any of them members are numbered (`_labels`); a warning a character helps nobody.
warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)

COLOURS = {"base": "#888888", "local": "#c8553d", "federated": "#0b6e99", "pooled": "#588b4a", "plain": "#8a5a9e"}
COLOURS["personalised"] = "#e09f3e"
_MEANING = {
    "B_minus_F": "base - federated\n(what training gives)",
    "L_minus_F": "local - federated\n(what joining gives)",
    "L_minus_Fplus": "local - personalised\n(what joining gives, trained on at the site)",
    "F_minus_Fplus": "federated - personalised\n(what training on gives)",
    "L_minus_P": "local - pooled\n(what one pile gives)",
    "F_minus_P": "federated - pooled\n(keeping documents apart)",
    "F_minus_plain": "federated - plain\n(what the secure sum costs)",
}


def curves(path: Path, comparison: Comparison, secure: Mapping[int, float]) -> None:
    """Left: how far each arm's validation loss is from the base model's. Right: differences on the test text.

    `secure`: the federated mean by round as the secure sums gave it (nats a token).
    """
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.4), layout="constrained", width_ratios=[3, 2])
    _losses(left, comparison.arms, secure)
    _differences(right, comparison.verdict.differences)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _losses(axes: Any, arms: Mapping[str, Arm], secure: Mapping[int, float]) -> None:
    start = np.array(arms["base"].validation[0])
    axes.axhline(0, color=COLOURS["base"], linestyle="--", label="base")
    for name in ("local", "pooled"):
        if name in arms:
            rounds = sorted(arms[name].validation)
            mean = [np.nanmean(np.array(arms[name].validation[r]) - start) for r in rounds]
            axes.plot(rounds, mean, ".-", color=COLOURS[name], label=f"{name}, mean over members")
    rounds = sorted(secure)
    axes.plot(
        rounds,
        [secure[r] - secure[rounds[0]] for r in rounds],
        "o-",
        color=COLOURS["federated"],
        label="federated, from the secure sums",
    )
    chosen = arms["federated"].chosen[0]
    if "personalised" in arms:
        on = arms["personalised"].validation
        mean = [np.mean(np.array(on[r]) - start) for r in sorted(on)]
        axes.plot(
            [chosen + r for r in sorted(on)],
            mean,
            ".--",
            color=COLOURS["personalised"],
            label="personalised, mean over members",
        )
    by_member = {r: np.array(losses) - start for r, losses in sorted(arms["federated"].validation.items())}
    low, high = ([np.nanquantile(changes, share) for changes in by_member.values()] for share in (0.1, 0.9))
    axes.fill_between(
        list(by_member),
        low,
        high,
        color=COLOURS["federated"],
        alpha=0.15,
        linewidth=0,
        label="federated, middle 80 % of members",
    )
    axes.axvline(chosen, color=COLOURS["federated"], linestyle=":", linewidth=1)
    axes.set(xlabel="rounds, or as many tokens", ylabel="change of validation loss (nats a token)")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -3), min(high, 1))  # an arm that was destroyed leaves the picture, and the rest readable
    axes.set_title(f"Against the base model; the adapter after round {chosen} was kept", fontsize=10)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=8)


def _differences(axes: Any, differences: Mapping[str, Interval]) -> None:
    names = [name for name in reversed(_MEANING) if name in differences]
    for height, name in enumerate(names):
        found = differences[name]
        if found.low is not None and found.high is not None:
            axes.plot([found.low, found.high], [height, height], color="#333333", linewidth=2)
        axes.plot(found.mean, height, "o", color="#333333")
        axes.annotate(
            f"{found.mean:+.3f}",
            (found.mean, height),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.axvline(0, color="#888888", linewidth=1)
    axes.locator_params(axis="x", nbins=5)
    axes.set_yticks(range(len(names)), [_MEANING[name] for name in names], fontsize=8)
    axes.set_ylim(-0.5, len(names) - 0.3)
    axes.margins(x=0.15)
    axes.set_xlabel("bits a character on test documents, 95 % interval")
    axes.set_title("Differences, mean over members", fontsize=10)


def members(path: Path, names: Sequence[str], bits: Mapping[str, Sequence[float]]) -> None:
    """Each member's arms (bits a character on its test text), from the hardest text to the easiest."""
    order = sorted(range(len(names)), key=lambda index: bits["base"][index])
    figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.24 * len(names)), layout="constrained")
    for height, index in enumerate(order):
        found = [bits[arm][index] for arm in bits]
        axes.plot([min(found), max(found)], [height, height], color="#dddddd", linewidth=1, zorder=1)
    for arm, values in bits.items():
        size = {"base": 80, "federated": 34, "plain": 5}.get(arm, 16)  # base is seen around what changed nothing
        axes.scatter([values[i] for i in order], range(len(order)), s=size, color=COLOURS[arm], label=arm, zorder=2)
    labels, note = _labels(names)
    axes.set_yticks(range(len(order)), [labels[i] for i in order], fontsize=8)
    axes.set_xlabel("bits a character on the member's test documents (less is better)")
    axes.set_title(f"Each member in each arm{note}", fontsize=10)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _labels(names: Sequence[str]) -> tuple[Sequence[str], str]:
    """The names, if all can be drawn; else numbers, and what these are."""
    families = pyplot.rcParams["font.family"]
    drawable = set[int]().union(*(font_manager.get_font(font_manager.findfont(f)).get_charmap() for f in families))
    if drawable.issuperset(map(ord, "".join(names))):
        return names, ""
    note = "\n(no font here has their names: numbers are places in member_ids of summary.json, from 1)"
    return [str(number) for number in range(1, len(names) + 1)], note


_PROBES = {
    "choice": "right answer chosen",
    "exact": "right answer written",
    "number": "right number written",
    "part": "right part number written",
    "solution": "right solution written",
    "bits_per_character": "bits a character, right answer\n(less is better)",
    "general": "bits a character, general text\n(more than base: forgotten)",
}


def probes(path: Path, found: Mapping[str, Any]) -> None:
    """What each arm answers and how it reads general text, with 95 % intervals; `found`: `probes` of summary.json."""
    figures: dict[str, dict[str, Any]] = {}
    for arm in COLOURS:
        asked = {**found.get("questions", {}).get(arm, {}), "general": found.get("general", {}).get(arm)}
        for name in _PROBES:
            if asked.get(name) is not None:
                figures.setdefault(name, {})[arm] = asked[name]
    figure, panels = pyplot.subplots(
        1, len(figures), figsize=(0.9 + 2.4 * len(figures), 2.8), layout="constrained", sharey=True, squeeze=False
    )
    for axes, name in zip(panels.flat, [name for name in _PROBES if name in figures], strict=True):
        for height, (arm, value) in enumerate(reversed(figures[name].items())):
            if value["low"] is not None:
                axes.plot([value["low"], value["high"]], [height, height], color=COLOURS[arm], linewidth=2)
            axes.plot(value["mean"], height, "o", color=COLOURS[arm])
        axes.set_yticks(range(len(figures[name])), list(reversed(figures[name])), fontsize=8)
        if name == "choice":
            axes.axvline(found["questions"]["chance"], color="#888888", linestyle=":", linewidth=1, label="chance")
            axes.legend(frameon=False, fontsize=8)
        if name not in ("bits_per_character", "general"):
            axes.set_xlim(-0.04, 1.04)  # a share
        axes.set_xlabel(_PROBES[name], fontsize=8)
        axes.locator_params(axis="x", nbins=4)
        axes.margins(y=0.12)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


UNITS = {"rounds": "rounds", "megabytes": "MB sent by a member", "kilotokens": "thousand tokens trained, all members"}
UNITS |= {"seconds": "seconds of training, all members"}


def compared(path: Path, rows: Mapping[str, Sequence[Curve]]) -> None:
    """Each row's runs as thin lines and their mean as a thick one: by rounds, bytes, tokens and seconds."""
    figure, panels = pyplot.subplots(2, 2, figsize=(11, 7.4), layout="constrained", sharey=True)
    for axes, (unit, label) in zip(panels.flat, UNITS.items(), strict=True):
        for (name, runs), colour in zip(rows.items(), _cycle(len(rows)), strict=True):
            for run in runs:
                axes.plot(getattr(run, unit), run.changes, color=colour, linewidth=0.7, alpha=0.5)
            same = [run for run in runs if run.rounds == runs[0].rounds]
            means = [np.mean([getattr(run, key) for run in same], axis=0) for key in (unit, "changes")]
            axes.plot(*means, color=colour, linewidth=2, label=f"{name} ({len(same)} seeds)" if len(same) > 1 else name)
        axes.axhline(0, color=COLOURS["base"], linestyle="--", linewidth=1)
        axes.set_xlabel(label)
        axes.locator_params(axis="x", integer=unit == "rounds")
        axes.spines[["top", "right"]].set_visible(False)
    figure.supylabel("change of validation loss against the base model (nats a token)", fontsize=10)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(
        handles, [textwrap.fill(label, 150) for label in labels], frameon=False, fontsize=8, loc="outside lower left"
    )
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _cycle(count: int) -> list[Any]:
    return [
        pyplot.colormaps["tab10" if count <= 10 else "viridis"](n % 10 if count <= 10 else n / count)
        for n in range(count)
    ]
