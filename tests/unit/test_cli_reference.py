"""docs/cli.md and docs/cli.ja.md are what `--help` says."""

import os

import pytest

from federation.errors import Language
from scripts.make_cli_reference import DOCS, FILES, reference


@pytest.mark.parametrize("language", FILES)
def test_the_command_reference_is_what_help_says(language: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    umask = os.umask(0o077)
    try:
        current = reference(language)
    finally:
        os.umask(umask)
    assert (DOCS / FILES[language]).read_text(encoding="utf-8") == current, "run scripts/make_cli_reference.py"
