"""What a person at a site reads before a decision, and which decisions are no such thing."""

from collections.abc import Iterator
from itertools import combinations

import pytest

from clients import review
from clients.commands.plans import AnotherPlan
from clients.policy_file import RefusedByPolicy
from federation.errors import Language
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry
from federation.token import fingerprint, spoken
from tests.unit.site import DOCUMENTS, Consortium, Site, three_sites


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Consortium, list[Site]]]:
    with three_sites(tmp_path_factory.mktemp("三社")) as made:
        yield made


def roster(**keys: bytes) -> Roster:
    entries = tuple(RosterEntry(id, f"{id} 工業", key) for id, key in sorted(keys.items()))
    return Roster("研究会", 2, Identity.create(COORDINATOR).public_key, entries)


@pytest.mark.parametrize(
    ("language", "words"), [("en", ("key changed", "new", "gone")), ("ja", ("鍵の変更", "追加", "削除"))]
)
def test_a_key_that_changed_is_shown_as_that_with_both_fingerprints(language: Language, words: tuple[str, ...]) -> None:
    stays, old, new, came, went = (Identity.create("x").public_key for _ in range(5))
    said = review.roster_text(roster(a=stays, b=new, c=came), roster(a=stays, b=old, d=went), language)
    seen = {key: spoken(fingerprint(key)) for key in (old, new, came)}
    changed, added, removed = words
    assert said.splitlines()[-3:] == [
        f"  {changed}: b (b 工業) {seen[old]} -> {seen[new]}",
        f"  {added}: c (c 工業) {seen[came]}",
        f"  {removed}: d",
    ]


def test_the_digest_is_taken_as_review_prints_it(federation: tuple[Consortium, list[Site]]) -> None:
    made, (site, *_) = federation
    for number, copied in enumerate(("{0}", "{0:.9}", "{1}", " {1:.6}\u3000")):
        plan = made.propose(f"job=写し{number}")
        groups = spoken(plan.digest())
        assert groups in site.said("review")
        site.run("approve", copied.format(groups, plan.digest().hex().upper()), "--yes")
        assert site.home.approved(plan)
    plan = made.propose("job=引用符なし")
    site.run("approve", *spoken(plan.digest()).split()[:2], "--yes")
    assert site.home.approved(plan)


@pytest.mark.parametrize("given", ["0123 abcd", "b5cb-4349", "", " "])
def test_another_plan_than_the_one_that_was_read_is_not_approved(
    given: str, federation: tuple[Consortium, list[Site]]
) -> None:
    made, (site, *_) = federation
    plan = made.propose("job=別")
    with pytest.raises(AnotherPlan) as caught:
        site.run("approve", given, "--yes")
    assert (caught.value.exit_code, caught.value.code) == (3, "another-plan")
    for language in ("en", "ja"):
        assert plan.digest().hex()[:16] in caught.value.text(language)  # type: ignore[arg-type]
    assert not site.home.approved(plan)


def test_two_spellings_of_a_name_are_one_person(federation: tuple[Consortium, list[Site]]) -> None:
    made, (_, site, _) = federation
    plan = made.propose("job=二人")
    site.set_policy(two_persons="true")
    for one, other in combinations(("sato", " sato", "Sato", "ｓａｔｏ"), 2):
        with pytest.raises(RefusedByPolicy, match="two persons"):
            site.run("approve", "--yes", "--applicant", one, "--approver", other)
    assert not site.home.approved(plan)
    site.run("approve", "--yes", "--applicant", "sato", "--approver", "saito")
    assert site.home.approved(plan)


def test_a_site_that_is_not_in_the_plan_reads_that_first(federation: tuple[Consortium, list[Site]]) -> None:
    made, (site, *_) = federation
    made.join("hanafubuki-insatsu")
    made.publish_roster()
    made.propose("job=不参加", members=("akikaze-kogaku", "asanagi-seiki", "hanafubuki-insatsu"))
    words = {"en": f"This site, {DOCUMENTS[0]}, is not in this plan", "ja": f"この拠点 {DOCUMENTS[0]} はこの計画に含ま"}
    for language, head in words.items():
        said = site.said("review", language=language)
        assert said.startswith(head)
        assert "permitted" not in said
        assert "範囲内" not in said
    assert site.run("review")["included"] is False
    with pytest.raises(RefusedByPolicy, match="not in the plan"):
        site.run("approve", "--yes")
