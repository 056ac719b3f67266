"""The coordinator's plan as a file, when it is none, and what `plan` says to settings that cannot work."""

from pathlib import Path

import pytest

from aggregator.home import Home
from aggregator.planning import PlanUnreadable
from federation.errors import Language
from tests.unit.site import call, coordinator_cli
from tests.unit.test_coordinator_home import CHOSEN


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "coordinator")
    made.create(CHOSEN)
    return made


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.yaml", {"en": "there is no such file", "ja": "ファイルがありません"}),
        ("latin-1.yaml", {"en": "it is not UTF-8 text", "ja": "UTF-8 ではありません"}),
        (".", {"en": "Is a directory", "ja": "Is a directory"}),
    ],
)
def test_what_cannot_be_read_as_a_plan_is_named_and_nothing_is_started(
    name: str, said: dict[Language, str], home: Home, tmp_path: Path
) -> None:
    (tmp_path / "latin-1.yaml").write_bytes(b"job: d\xe9cembre\n")
    with pytest.raises(PlanUnreadable) as caught:
        call(coordinator_cli.main, "start", tmp_path / name, "--home", home.path)
    assert caught.value.exit_code == 2
    for language, words in said.items():
        assert f"{tmp_path / name}" in caught.value.text(language)
        assert words in caught.value.text(language)
