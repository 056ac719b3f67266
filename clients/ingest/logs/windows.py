"""Where the windows of a log begin and end, of which each becomes a record.

Where readings come at a regular rate a window is a time: the shortest of `LENGTHS` that holds 24 readings; elsewhere
it is 24 times at which something was read. It ends early before a pause, and with `MOST_ROWS` rows.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from clients.ingest.logs.table import Times
from clients.ingest.logs.times import DAY, HOUR, MINUTE

READINGS = 24
LENGTHS = (10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, DAY, 7 * DAY)
MOST_ROWS = 20_000
_REGULAR = 0.9  # of the intervals are within a half of the usual one
_PAUSE, _IRREGULAR_PAUSE = 3, READINGS  # usual intervals without a reading


class Window(NamedTuple):
    """Rows from `start` up to `end`, without that one. `pause`: ms without a reading before it, 0 if there was none."""

    start: int
    end: int
    pause: int


def windows(times: Times, length: int | None = None) -> Iterator[Window]:
    """`times`: sorted, ms. `length`: the site's own, in ms, for whatever rate."""
    if not len(times):
        return
    intervals = np.diff(times)
    apart = intervals[intervals > 0]
    usual = int(np.median(apart)) if len(apart) else 0
    regular = bool(len(apart)) and float(np.mean(np.abs(apart - usual) <= usual / 2)) >= _REGULAR
    if length is None and regular:
        length = next((each for each in LENGTHS if each >= READINGS * usual), None)
    pauses = intervals > (_PAUSE if regular else _IRREGULAR_PAUSE) * max(usual, 1)
    segments = np.concatenate(([0], np.flatnonzero(pauses) + 1, [len(times)]))
    for first, last in pairwise(segments.tolist()):
        pause = int(intervals[first - 1]) if first else 0
        within = times[first:last]
        moments = np.concatenate(([0], np.cumsum(np.diff(within) > 0)))
        numbers = moments // READINGS if length is None else (within - within[0]) // length
        cuts = first + np.concatenate(([0], np.flatnonzero(np.diff(numbers)) + 1, [last - first]))
        for start, end in pairwise(cuts.tolist()):
            for part in range(start, end, MOST_ROWS):
                yield Window(part, min(part + MOST_ROWS, end), pause)
                pause = 0
