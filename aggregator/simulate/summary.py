"""summary.json: the figures of a finished run, from its lines and its arms."""

import resource
import sys
from collections.abc import Mapping
from dataclasses import replace
from math import log
from typing import TYPE_CHECKING, Any

from aggregator.simulate import machine
from aggregator.simulate.arms import Arm
from aggregator.simulate.comparison import Comparison
from aggregator.simulate.differences import Verdict
from aggregator.simulate.report import Line, change, chosen_round
from clients.dataset import Corpus
from federation import step, tensors
from federation.secagg.server import Step

if TYPE_CHECKING:  # torch takes seconds, and `rengo compare` does without
    from aggregator.simulate.table import Table


def summarise(table: "Table", rounds: list[Line], comparison: Comparison, other_seconds: Mapping[str, float]) -> Line:
    """`other_seconds`: what this process spent outside rounds, `arms` and `probes` of it on these, `set_up` before."""
    plan = table.plan
    return {
        "members": len(plan.members),
        "member_ids": list(plan.members),
        "rounds": plan.rounds,
        "chosen_round": chosen_round(rounds),
        "scheme": plan.scheme.name,
        "seed": plan.seed,
        "plan_sha256": plan.digest().hex(),
        "model": {"name": plan.model.name, "sha256": plan.model.sha256},
        **_learning(table, comparison),
        "held_out_loss_by_round": {str(after): loss for after, loss in losses_by_round(rounds).items()},
        "members_by_gain": rounds[-1].get("members_by_gain", {}),
        "domains": dict(table.domains),
        "documents": {m: {"used": c.documents, "set_aside": len(c.set_aside)} for m, c in table.corpora.items()},
        **_secure_sums(table, rounds),
        **_cost(rounds, other_seconds),
        "machine": machine.machine(),
        "versions": machine.versions(),
    }


def _learning(table: "Table", comparison: Comparison) -> Line:
    """What was learned, by arm and member."""
    corpora = [table.corpora[member] for member in table.plan.members]
    arms = comparison.arms
    tokens = sum(corpus.test.predicted for corpus in corpora)
    characters = sum(text.characters for corpus in corpora for text in corpus.test_texts)
    return {
        "arms": {name: nats_per_token(arm, corpora) for name, arm in arms.items()},
        "arms_unit": "nats a token, whole test text of each member, in the order of member_ids",
        "arms_bits_per_character": {name: bits_per_character(arm, corpora) for name, arm in arms.items()},
        "arms_chosen_round": {name: list(arm.chosen) for name, arm in arms.items()},
        "arms_diverged": {name: list(arm.diverged) for name, arm in arms.items() if arm.diverged},
        **_verdict(comparison.verdict),
        "tokens_per_character": tokens / characters,
        "test": {
            "tokens": tokens,
            "characters": characters,
            "texts": [len(corpus.test_texts) for corpus in corpora],
            "sha256": table.test_digest,
            "seen_in_training": table.overlap,
        },
    }


def _verdict(verdict: Verdict) -> Line:
    return {
        "differences": {name: vars(found) for name, found in verdict.differences.items()},
        "differences_unit": "bits a character, mean over members; 95 % interval over test texts (jackknife)",
        "closure": verdict.closure,
        "harmed": list(verdict.harmed),
        "undecided": list(verdict.undecided),
        "harmed_personalised": list(verdict.harmed_personalised),
        "undecided_personalised": list(verdict.undecided_personalised),
    }


def _secure_sums(table: "Table", rounds: list[Line]) -> Line:
    plan = table.plan
    training = [line for line in rounds if "secure_vs_plain" in line]
    differences = [line["secure_vs_plain"] for line in training]
    # By contribution: who was lost sent less or nothing, and the measuring round hardly anything.
    bytes_up, contributions = (sum(line[key] for line in training) for key in ("bytes_up", "survivors"))
    first = step.first_state(plan, table.learner.shapes)
    # Schemes by turns upload other factors in the next round.
    sizes = [
        tensors.size_of(step.scheme_of(plan).upload_shapes(replace(first, round=done))) for done in range(plan.rounds)
    ]
    return {
        "secagg": {
            "ring_bits": plan.secagg.ring_bits,
            "threat": plan.secagg.threat,
            "quorum": plan.quorum,
            "threshold": plan.threshold,
            "neighbourhoods": plan.neighbourhoods.facts if plan.neighbourhoods else None,
            "threshold_by_round": [line["threshold"] for line in rounds],
            "dropped_by_step": {s.value: sum(len(line["dropped"][s.value]) for line in rounds) for s in Step},
        },
        "bytes_up_per_member_round": round(bytes_up / contributions),
        "values_per_upload": round(sum(sizes) / len(sizes)),
        "secure_vs_plain": {key: max(d[key] for d in differences) for key in differences[0]},
        "largest_clipped_share": max(line["clipped_share"] for line in training),
    }


def _cost(rounds: list[Line], other_seconds: Mapping[str, float]) -> Line:
    def total(key: str) -> Any:
        return sum(line[key] for line in rounds)

    learning = total("train_seconds") + total("eval_seconds")
    return {
        "seconds": {
            "train": round(total("train_seconds"), 3),
            "secagg": round(total("seconds") - learning, 3),
            "eval": round(total("eval_seconds"), 3),
            "arms": round(other_seconds["arms"], 3),
            "probes": round(other_seconds["probes"], 3),
            "total": round(total("seconds") + sum(other_seconds.values()), 3),
        },
        "trained_tokens": total("trained_tokens"),
        "peak_rss_mb": peak_rss_mb(),
    }


def losses_by_round(rounds: list[Line]) -> dict[int, float]:
    """After how many training rounds -> validation loss (nats a token), as the secure sums gave it: the base model's
    loss in the first of them, and the change against it over the members of each later one."""
    changes = {line["round"] - 1: changed for line in rounds if (changed := change(line)) is not None}
    start = next(line["base_held_out_loss"] for line in rounds if line["base_held_out_loss"] is not None)
    return {after: start + changed for after, changed in changes.items()}


def nats_per_token(arm: Arm, corpora: list[Corpus]) -> list[float]:
    """An arm's test loss by member."""
    return [sum(nats) / corpus.test.predicted for nats, corpus in zip(arm.test, corpora, strict=True)]


def bits_per_character(arm: Arm, corpora: list[Corpus]) -> list[float]:
    """The same in a unit that does not depend on the tokenizer."""
    sizes = [sum(text.characters for text in corpus.test_texts) for corpus in corpora]
    return [sum(nats) / size / log(2) for nats, size in zip(arm.test, sizes, strict=True)]


def peak_rss_mb() -> int:
    """The largest resident memory of this process so far, in MiB (Linux counts in KiB, macOS in bytes)."""
    unit = 1024 if sys.platform != "darwin" else 1024 * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
