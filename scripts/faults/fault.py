"""What a planted fault is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """`before` becomes `after` in `file`; one of `tests` (files, or one test by its node) has to fail."""

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


def unit(name: str) -> str:
    """A file of unit tests."""
    return f"tests/unit/test_{name}.py"
