"""`rengo coordinator init` refuses what no later command could use, before it writes anything."""

from pathlib import Path

import pytest

from federation.main import main

URL = "https://127.0.0.1:21460"


@pytest.mark.parametrize(
    "words",
    [
        ("name", "--url", "https://127.0.0.1:99999"),
        ("name", "--url", "https://127.0.0.1:0"),
        ("name", "--url", "https://127.0.0.1:port"),
        ("name", "--url", "https://127.0.0.1:65535"),
        ("", "--url", URL),
        ("name", "--url", URL, "--deadline", "-5"),
        ("name", "--url", URL, "--wait", "-1"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_and_leaves_no_folder(tmp_path: Path, words: tuple[str, ...]) -> None:
    home = tmp_path / "coordinator"
    assert main(["coordinator", "init", "--home", str(home), *words]) == 2
    assert not home.exists()
