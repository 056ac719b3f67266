"""personal.toml, and that every way from a folder to training, measuring and showing goes by it."""

import dataclasses
import re
import stat
from pathlib import Path

import pytest

import clients
from clients import cli
from clients.dataset import read_parts
from clients.home import Home, Settings
from clients.ingest.personal.settings import (
    DEFAULT,
    DEFAULT_SETTINGS,
    PersonalSettings,
    PersonalSettingsInvalid,
    read,
)
from clients.ingest.preparing import prepared_documents
from federation.plan import Evaluation
from tests.unit.site import Site, call
from tests.unit.test_splits import texts

PERSON = "担当: 山田 太郎 電話 090-0000-1234"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A member's folder as `join` writes it, and documents with a person in each."""
    data = tmp_path / "data"
    data.mkdir()
    for document in texts(4):
        (data / document.name).write_text(f"{document.text}\n{PERSON}\n", encoding="utf-8")
    home = Home(tmp_path / "home")
    home.create(Settings("akatombo", "https://127.0.0.1:1", str(data), "demo"), b"", "")
    return Site(home.path)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


class TestSettings:
    def test_join_writes_the_default_and_without_the_file_it_holds_as_well(self, site: Site, tmp_path: Path) -> None:
        assert site.home.file("personal.toml").read_text(encoding="utf-8") == DEFAULT
        assert site.home.personal() == DEFAULT_SETTINGS == read(tmp_path / "none.toml")

    def test_every_fault_is_told_at_once_and_no_entry_is(self, tmp_path: Path) -> None:
        text = DEFAULT.replace("own   = []", 'own = ["山田太郎 ", "x", 7, "鈴\\u0000木", "良い"]\nextra = 1').replace(
            '"report"', '"masc"'
        )
        with pytest.raises(PersonalSettingsInvalid) as caught:
            read(written(tmp_path / "personal.toml", text))
        told = caught.value.text("en") + caught.value.text("ja")
        for part in (
            "6 fault(s)",
            "`extra` is not a setting",
            "modes.ip",
            "entry 1",
            "entry 2",
            "2 番目",
            "entry 3",
            "entry 4",
        ):
            assert part in told
        assert not any(word in told for word in ("山田", "鈴", "良い", "entry 5"))
        assert caught.value.exit_code == 2

    def test_a_mode_that_is_left_out_is_told(self, tmp_path: Path) -> None:
        text = re.sub(r"^secret .*\n", "", DEFAULT, flags=re.MULTILINE)
        with pytest.raises(PersonalSettingsInvalid, match=r"`modes\.secret` is not set"):
            read(written(tmp_path / "personal.toml", text))

    @pytest.mark.parametrize(
        ("before", "after", "place"),
        [("own   = []", 'own = "山田太郎"', "own"), ("[modes]", '[modes]\nown = ["山田太郎"]', "modes.own")],
    )
    def test_words_in_the_wrong_place_are_not_quoted(self, tmp_path: Path, before: str, after: str, place: str) -> None:
        assert before in DEFAULT
        text = DEFAULT if place == "own" else re.sub(r"^own .*\n", "", DEFAULT, flags=re.MULTILINE)
        text = text.replace(before, after)
        with pytest.raises(PersonalSettingsInvalid) as caught:
            read(written(tmp_path / "personal.toml", text))
        told = caught.value.text("en") + caught.value.text("ja")
        assert f"`{place}`" in told
        assert "山田" not in told

    def test_lists_may_be_empty_or_long(self, tmp_path: Path) -> None:
        words = [f"得意先{number}" for number in range(3000)]
        settings = read(written(tmp_path / "p.toml", DEFAULT.replace("own   = []", f"own = {words}".replace("'", '"'))))
        assert len(settings.own) == 3000
        assert settings.allow == ()


class TestOneWay:
    def test_sample_shows_what_training_gets(self, site: Site) -> None:
        shown = [line for lines in site.run("data", "sample")["samples"].values() for line in lines]
        assert "担当: ［氏名］ 電話 ［電話番号］" in shown
        parts = read_parts(
            Path(site.home.settings().data),
            Evaluation(every=1, tokens=8, test_share=0.2, validation_share=0.2),
            personal=site.home.personal(),
        )
        trained = [line for d in (*parts.train, *parts.validation, *parts.test) for line in d.text.split("\n")]
        assert set(shown) <= set(trained)
        assert not any("1234" in line or "太郎" in line for line in trained)

    def test_nothing_else_reads_documents_to_use_them(self) -> None:
        """Whoever calls read_documents gets what is not redacted."""
        root = Path(clients.__file__).parents[1]
        callers = {
            str(file.relative_to(root))
            for package in ("clients", "aggregator")
            for file in (root / package).rglob("*.py")
            if re.search(r"(?<!def )\bread_documents\(", file.read_text(encoding="utf-8"))
        }
        assert callers == {"clients/ingest/preparing.py"}

    def test_the_report_counts_and_the_finds_are_in_the_review_file_alone(self, site: Site, caplog: object) -> None:
        facts = site.run("data", "report")
        found = {redaction["kind"]: redaction["finds"] for redaction in facts["redactions"]}
        assert found == {"phone": 4, "name": 4}
        review = Path(facts["review"])
        assert "山田 太郎 | 4 |" in review.read_text(encoding="utf-8")
        assert stat.S_IMODE(review.stat().st_mode) == 0o600
        assert review.parent == site.path / "extracted"
        said = site.said("data", "report") + str(facts) + caplog.text  # type: ignore[attr-defined]
        assert "個人情報・秘密情報: 氏名: 4 か所、4 文書、処置 mask" in said
        assert "山田" not in said
        assert "1234" not in said

    def test_leaving_removes_the_review_and_the_settings(self, site: Site) -> None:
        site.run("data", "report")
        site.home.leave()
        assert not list(site.path.rglob("personal*"))

    def test_a_fault_in_the_settings_stops_before_anything_is_read(self, site: Site) -> None:
        written(site.home.file("personal.toml"), DEFAULT.replace('"drop"', "").replace('"mask"', '"maks"'))
        with pytest.raises(PersonalSettingsInvalid):
            call(cli.main, "data", "report", "--home", site.path)

    def test_a_simulation_looks_for_nothing(self, site: Site) -> None:
        reading = prepared_documents(Path(site.home.settings().data)).reading
        assert all(PERSON in document.text for document in reading.documents)
        assert reading.redactions == ()


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PersonalSettings((), (), DEFAULT_SETTINGS.modes).own = ("x",)  # type: ignore[misc]
