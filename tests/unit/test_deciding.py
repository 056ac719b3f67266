"""What a person at a site reads before a decision, and which decisions are no such thing."""

import pytest

from clients import review
from federation.errors import Language
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry
from federation.token import fingerprint, spoken


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
