"""Standard output, for a person."""

import sys

from rich.console import Console


class Screen(Console):
    """rich's console, but for a reader who goes away: rich would end the program itself, with exit code 1."""

    def __init__(self) -> None:
        super().__init__(file=sys.stdout)

    def on_broken_pipe(self) -> None:
        """Leave it to `federation.main`."""
        raise BrokenPipeError
