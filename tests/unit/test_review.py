"""What a person reads before deciding about a plan: what it promises less than others stands there in words."""

from pathlib import Path

import pytest

from clients import review
from clients.home import Home, Settings
from federation.errors import Language
from federation.identity import Roster
from federation.plan import Deadlines, Plan, SecAgg
from tests.protocol.consortium import make_plan

MEMBERS = tuple(f"m{number:02}" for number in range(30))
WEAKER: dict[Language, tuple[str, str, str]] = {
    "en": ("WEAKER THAN USUAL", "honest while the keys of a round", "at most 1 colluding"),
    "ja": ("通常より弱い保護", "鍵を集める間は事務局が正直", "1 以下の場合"),
}


def words(plan: Plan, folder: Path, language: Language) -> str:
    roster, home = Roster(plan.consortium, 1, bytes(32), ()), Home(folder / "home")
    home.create(Settings("m00", "https://127.0.0.1:1", str(folder), "demo"), bytes(32), "PEM")
    return review.text(plan, roster, home, (), language)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_plan_that_trusts_the_coordinator_says_what_is_weaker(tmp_path: Path, language: Language) -> None:
    plan = make_plan(MEMBERS, secagg=SecAgg(32, "semi_malicious", 0.05, 0.1, "auto", 3, "auto", 8.0, 1e-6))
    shown = words(plan, tmp_path, language)
    assert all(part in shown for part in WEAKER[language])
    assert review.facts(plan, "m00", ())["threat"] == "semi_malicious"


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_usual_plan_says_nothing_of_the_kind(tmp_path: Path, language: Language) -> None:
    shown = words(make_plan(MEMBERS), tmp_path, language)
    assert not any(part in shown for part in WEAKER[language])
    assert "12" in shown  # 21 of 30, of which 9 may collude


@pytest.mark.parametrize("language", ["en", "ja"])
def test_says_how_long_a_site_has_and_how_many_are_in_every_sum(tmp_path: Path, language: Language) -> None:
    secagg = SecAgg(32, "malicious", None, None, 25, 3, "auto", 8.0, 1e-6)
    plan = make_plan(MEMBERS, secagg=secagg, deadlines=Deadlines(7201, 299))
    shown = words(plan, tmp_path, language)
    told: dict[Language, tuple[str, ...]] = {
        "en": (
            "Every sum: of at least 25 of the 30 members",
            "7201 s to train",
            "299 s for every other",
            "at least 16 honest",
        ),
        "ja": ("合計の拠点数: 30 拠点中 25 拠点以上", "学習と更新の送信 7201 秒", "各 299 秒", "正直な 16 拠点以上"),
    }
    assert all(part in shown for part in told[language])
    facts = review.facts(plan, "m00", ())
    assert (facts["quorum"], facts["threshold"]) == (25, 21)
    assert facts["deadlines"] == {"training": 7201, "answer": 299}
