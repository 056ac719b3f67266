"""held-out.jsonl: what the federation's adapters gain this site, on its own held-out documents.

The coordinator learns sums over members: how many lose, not who. This file is how a site's own people know. It stays
here, for its owner alone (0600); `rengo member status` shows the last line of a job.
"""

import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from clients.contribution import Measured
from clients.home import now
from federation.step import GAIN_NOTHING

NAME = "held-out.jsonl"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Line:
    """One measurement: `after` so many rounds of `job`, the adapter and the base model on the validation sample, in
    nats a token."""

    utc: str
    job: str
    after: int
    loss: float
    base_loss: float

    @property
    def gain(self) -> float:
        """By how much the adapter reads this site's documents better than the base model; negative: worse."""
        return self.base_loss - self.loss


def note(path: Path, job: str, measured: Measured) -> None:
    """Add a line. It is for people: a disk that takes nothing more does not end a round."""
    line = Line(now(), job, measured.round - 1, measured.loss, measured.base_loss)
    try:
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(json.dumps(asdict(line), ensure_ascii=False) + "\n")
    except OSError as error:
        _log.warning("%s cannot be written: %s", path.name, error)
    if line.gain < -GAIN_NOTHING:
        _log.warning(
            "after %d rounds the adapter of job %s reads this site's held-out documents worse than the base model: "
            "%.3f against %.3f nats a token",
            *(line.after, job, line.loss, line.base_loss),
        )


def last(path: Path, job: str) -> Line | None:
    """The newest measurement of `job`; None where there is none. A line that a kill tore is passed over."""
    found = None
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            line = Line(**json.loads(text))
        except (ValueError, TypeError):
            continue
        found = line if line.job == job else found
    return found
