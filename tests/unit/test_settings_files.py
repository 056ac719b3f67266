"""member.toml and policy.toml as editors save them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from clients.home import Home, Settings
from federation.errors import SettingsFileInvalid


@pytest.mark.parametrize(
    ("saved", "english", "japanese"),
    [
        pytest.param(
            "data = '手順書'".encode("cp932"), "it is not UTF-8, byte ", "UTF-8 で保存されていません（", id="cp932"
        ),
        pytest.param(b"data = ", "it is not TOML: ", "TOML の書式ではありません（", id="not TOML"),
    ],
)
def test_a_settings_file_that_an_editor_spoiled_is_told(
    tmp_path: Path, saved: bytes, english: str, japanese: str
) -> None:
    home = Home(tmp_path / "site")
    home.create(Settings("akatombo-seiki", "https://127.0.0.1:1", str(tmp_path), "demo"), bytes(32), "PEM")
    reads: dict[str, Callable[[], object]] = {"member.toml": home.settings, "policy.toml": home.policy}
    for name, read in reads.items():
        file = home.file(name)
        before = file.read_bytes()
        file.write_bytes(before + b"\n" + saved)
        with pytest.raises(SettingsFileInvalid) as caught:
            read()
        assert english in caught.value.text("en")
        assert japanese in caught.value.text("ja")
        file.write_bytes(b"\xef\xbb\xbf" + before)  # a byte order mark spoils nothing
        read()
