"""What was made of a text is made once: masking and cleaning cost nothing where nothing changed."""

from pathlib import Path

import pytest

from clients.ingest import Texts, read_folders
from clients.ingest.personal import redact
from clients.ingest.personal.settings import DEFAULT_SETTINGS, OFF, PersonalSettings
from clients.ingest.preparing import Prepared, prepared
from tests.unit.test_cleaning import NOTICE
from tests.unit.test_splits import texts

FILES = 8


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Texts with a name, an unusual form and a notice that all of them share."""
    (tmp_path / "data").mkdir()
    for document in texts(FILES):
        text = f"担当: 山田 太郎\n\n{document.text}か\u3099\n\n{NOTICE}\n\n終わり"
        (tmp_path / "data" / document.name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts that were looked through for personal data."""
    seen = list[str]()
    find = redact.find
    monkeypatch.setattr(redact, "find", lambda text, settings: seen.append(text) or find(text, settings))
    return seen


def of(site: Path, settings: PersonalSettings = DEFAULT_SETTINGS, prune: bool = False) -> tuple[Prepared, list[str]]:
    with Texts(site / "kept" / "texts.sqlite") as store:
        found = prepared(read_folders([site / "data"], store), settings)
        if prune:
            store.prune(document.digest for document in found.reading.documents)
        return found, [document.text for document in found.reading.documents]


def test_the_second_time_gives_the_same_and_looks_at_no_text(site: Path, masked: list[str]) -> None:
    first = of(site)
    assert len(masked) == FILES
    second = of(site)
    assert len(masked) == FILES
    assert second[1] == first[1]
    assert second[0].sightings == first[0].sightings
    assert second[0].reading.redactions == first[0].reading.redactions
    assert second[0].reading.cleaning == first[0].reading.cleaning
    assert first[0].reading.cleaning.paragraphs == FILES - 3


def test_after_one_file_changed_one_text_is_looked_at(site: Path, masked: list[str]) -> None:
    of(site)
    (site / "data" / "3.txt").write_text("主軸の軸受を点検する。担当: 佐藤 花子", encoding="utf-8")
    _, found = of(site)
    assert len(masked) == FILES + 1
    assert "主軸の軸受を点検する。担当: ［氏名］" in found


def test_other_settings_make_it_anew(site: Path) -> None:
    of(site)
    assert "山田" in of(site, OFF)[1][0]
    assert "山田" not in of(site)[1][0]


def test_what_texts_became_stays_as_long_as_the_texts_and_goes_with_them(site: Path, masked: list[str]) -> None:
    of(site, prune=True)
    of(site)
    assert len(masked) == FILES
    for number in range(1, FILES):
        (site / "data" / f"{number}.txt").unlink()
    of(site, prune=True)
    with Texts(site / "kept" / "texts.sqlite") as store:
        kept = [row[0] for row in store._db.execute("SELECT text FROM texts")]
        steps = store._db.execute("SELECT count(DISTINCT text) FROM steps").fetchone()[0]
    assert all(texts(FILES)[0].text in text for text in kept)
    assert steps <= len(kept)
