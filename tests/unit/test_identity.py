"""Signatures say who said what to whom in which context; a roster is what the root signed."""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation import identity
from federation.errors import RengoError, SignatureInvalid
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry, SignedRoster, open_signed, verify_bytes
from federation.secagg.messages import Agreed, Keys, Revealed
from federation.secagg.parties import NotInRoster, Parties
from federation.wire import Malformed, Signed

TOYOTA, HAMAMATSU = Identity.create("豊田"), Identity.create("浜松")
CONTEXT, OTHER_CONTEXT = bytes(32), bytes([1] * 32)
BODY = Keys(b"a" * 32, b"b" * 32)
MESSAGE = TOYOTA.sign(BODY, CONTEXT, COORDINATOR)


def opened(message: Signed = MESSAGE, kind: type = Keys, **changes: Any) -> object:
    expected = {"public_key": TOYOTA.public_key, "digest": CONTEXT, "sender": "豊田", "recipient": COORDINATOR}
    return open_signed(message, kind, **{**expected, **changes})


def test_what_verified_once_vouches_for_no_other_bytes_key_or_signature() -> None:
    good = (TOYOTA.public_key, MESSAGE.signature, MESSAGE.to_sign())
    other = TOYOTA.sign(BODY, OTHER_CONTEXT, COORDINATOR)
    for _ in range(2):  # the second time from memory
        verify_bytes(*good, "it")
        for at, value in enumerate((HAMAMATSU.public_key, other.signature, other.to_sign())):
            with pytest.raises(SignatureInvalid):
                verify_bytes(*good[:at], value, *good[at + 1 :], "it")  # type: ignore[call-arg, arg-type]


def test_what_verified_is_remembered_by_its_digest_alone_and_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_MOST_VERIFIED", 3)
    for number in range(10):
        data = b"%d" % number * 1000
        verify_bytes(TOYOTA.public_key, TOYOTA.sign_bytes(data), data, "it")
        assert all(len(kept) == 32 for kept in identity._verified)
        assert len(identity._verified) <= 3


def test_a_key_and_a_signature_that_are_cut_elsewhere_are_not_remembered() -> None:
    key, signature, data = TOYOTA.public_key, MESSAGE.signature, MESSAGE.to_sign()
    verify_bytes(key, signature, data, "it")
    with pytest.raises(SignatureInvalid):
        verify_bytes(key, signature + data[:1], data[1:], "it")
    with pytest.raises(SignatureInvalid):
        verify_bytes(key + signature[:1], signature[1:], data, "it")


class TestSignedMessage:
    def test_opens_to_its_body(self) -> None:
        assert opened() == BODY

    @pytest.mark.parametrize(
        ("what", "value"),
        [
            ("public_key", HAMAMATSU.public_key),
            ("public_key", bytes(31)),
            ("public_key", b"\xff" * 32),
            ("digest", OTHER_CONTEXT),
            ("sender", "浜松"),
            ("sender", "豊田 "),
            ("recipient", "浜松"),
            ("kind", Agreed),
            ("kind", Revealed),
        ],
        ids=["key of another", "short key", "no key", "digest", "sender", "space", "recipient", "agreed", "revealed"],
    )
    def test_does_not_open_as_anything_else(self, what: str, value: object) -> None:
        with pytest.raises(SignatureInvalid):
            opened(**dict[str, Any]({what: value}))

    @pytest.mark.parametrize(
        "change",
        [
            lambda s: bytes(64),
            lambda s: s[:63] + bytes([s[63] ^ 1]),
            lambda s: s[:63],
            lambda s: s + b"\0",
            lambda s: b"",
        ],
        ids=["zeros", "a bit", "short", "long", "none"],
    )
    def test_does_not_open_with_another_signature(self, change: Callable[[bytes], bytes]) -> None:
        with pytest.raises(SignatureInvalid):
            opened(dataclasses.replace(MESSAGE, signature=change(MESSAGE.signature)))

    def test_does_not_open_with_the_signature_of_another_message(self) -> None:
        other = TOYOTA.sign(Keys(b"b" * 32, b"a" * 32), CONTEXT, COORDINATOR)
        with pytest.raises(SignatureInvalid):
            opened(Signed(MESSAGE.header_bytes, other.signature))

    def test_that_another_member_signed_in_its_name_does_not_open(self) -> None:
        forger = Identity("豊田", HAMAMATSU._key)
        with pytest.raises(SignatureInvalid, match="keys of 豊田"):
            opened(forger.sign(BODY, CONTEXT, COORDINATOR))

    def test_with_a_malformed_body_is_malformed_even_when_signed(self) -> None:
        odd = dataclasses.replace(BODY, mask_key=b"short")
        with pytest.raises(Malformed):
            opened(TOYOTA.sign(odd, CONTEXT, COORDINATOR))

    def test_covers_the_hash_and_length_of_its_blob(self) -> None:
        signed = TOYOTA.sign(BODY, CONTEXT, COORDINATOR, b"blob")
        assert signed.header.blob_sha256 == hashlib.sha256(b"blob").digest()
        assert TOYOTA.sign(BODY, CONTEXT, COORDINATOR, b"blob2").signature != signed.signature
        assert opened(signed.without_blob()) == BODY

    @given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
    @settings(max_examples=30)
    def test_may_travel_between_any_names(self, sender: str, recipient: str) -> None:
        message = Identity(sender, TOYOTA._key).sign(BODY, CONTEXT, recipient)
        assert opened(message, sender=sender, recipient=recipient) == BODY

    def test_is_signed_in_a_domain_of_its_own(self) -> None:
        """Nobody who gets raw bytes signed (a roster, say) gets a message signed."""
        assert MESSAGE.to_sign().startswith(b"rengo signed message v1\0")
        verify_bytes(TOYOTA.public_key, MESSAGE.signature, MESSAGE.to_sign(), "it")
        with pytest.raises(SignatureInvalid, match="The signature on 名簿 does not verify"):
            verify_bytes(TOYOTA.public_key, MESSAGE.signature, MESSAGE.header_bytes, "名簿")


def test_an_identity_shows_its_name_and_never_its_key() -> None:
    private = TOYOTA._key.private_bytes_raw()
    for text in (repr(TOYOTA), str(TOYOTA), f"{[TOYOTA]}"):
        assert "豊田" in text
        assert private.hex() not in text
        assert "Key" not in text


def test_each_identity_has_a_key_of_its_own() -> None:
    assert len({Identity.create("同じ").public_key for _ in range(5)}) == 5


ROOT = Identity.create("root")
KEY = Identity.create(COORDINATOR).public_key
ENTRIES = (
    RosterEntry("a01", "トヨタ部品工業株式会社", TOYOTA.public_key),
    RosterEntry("b02", "㈱浜松精機", HAMAMATSU.public_key),
    RosterEntry("川崎", "川崎重機", ROOT.public_key),
)
ROSTER = Roster("名古屋製造業コンソーシアム", 3, KEY, ENTRIES)


class TestRoster:
    def test_that_the_root_signed_verifies(self) -> None:
        assert SignedRoster.sign(ROSTER, ROOT).verify(ROOT.public_key) == ROSTER

    def test_that_anyone_else_signed_does_not(self) -> None:
        with pytest.raises(SignatureInvalid):
            SignedRoster.sign(ROSTER, TOYOTA).verify(ROOT.public_key)

    @pytest.mark.parametrize(
        "changes",
        [
            {"version": 4},
            {"consortium": "別のコンソーシアム"},
            {"coordinator_key": bytes(32)},
            {"members": ENTRIES[:2]},
            {"members": (*ENTRIES[:2], dataclasses.replace(ENTRIES[2], name="川崎重工"))},
            {"members": (*ENTRIES[:2], dataclasses.replace(ENTRIES[2], public_key=bytes(32)))},
        ],
        ids=["version", "consortium", "coordinator's key", "a member less", "a name", "a key"],
    )
    def test_that_was_changed_does_not_verify_and_has_another_digest(self, changes: dict[str, object]) -> None:
        changed = dataclasses.replace(ROSTER, **changes)  # type: ignore[arg-type]
        assert changed.digest() != ROSTER.digest()
        with pytest.raises(SignatureInvalid):
            dataclasses.replace(SignedRoster.sign(ROSTER, ROOT), roster=changed).verify(ROOT.public_key)

    @pytest.mark.parametrize(
        "members",
        [
            ENTRIES[::-1],
            (*ENTRIES, ENTRIES[2]),
            (*ENTRIES, RosterEntry("川崎", "別名", bytes(32))),
            (*ENTRIES, RosterEntry("横浜", "横浜", TOYOTA.public_key)),
            (*ENTRIES, RosterEntry("横浜", "横浜", KEY)),
            (*ENTRIES, RosterEntry("横浜", "横浜", bytes(31))),
            (*ENTRIES[:2], RosterEntry(COORDINATOR, "事務局", bytes(32))),
            (RosterEntry("", "名無し", bytes(32)), *ENTRIES),
            (*ENTRIES, RosterEntry("川" * 43, "長い", bytes(32))),
            (*ENTRIES, RosterEntry("川\u202e", "向き", bytes(32))),
            (*ENTRIES[:2], dataclasses.replace(ENTRIES[2], name="川崎\x1b[2J")),
        ],
        ids=[
            "unsorted",
            "twice",
            "id twice",
            "key twice",
            "coordinator's key",
            "short key",
            "reserved id",
            "no id",
            "long id",
            "bidi id",
            "ESC",
        ],
    )
    def test_with_unfit_members_is_neither_signed_nor_accepted(self, members: tuple[RosterEntry, ...]) -> None:
        roster = dataclasses.replace(ROSTER, members=members)
        with pytest.raises(Malformed):
            SignedRoster.sign(roster, ROOT)
        signature = ROOT.sign_bytes(b"rengo roster v1\0" + roster.to_bytes())
        with pytest.raises(Malformed):
            SignedRoster(roster, signature).verify(ROOT.public_key)

    def test_for_a_consortium_with_a_line_end_in_its_name_is_not_signed(self) -> None:
        with pytest.raises(Malformed, match="control characters"):
            SignedRoster.sign(dataclasses.replace(ROSTER, consortium="名古屋\nRoster: version 1"), ROOT)

    def test_takes_ids_up_to_the_limit(self) -> None:
        entries = (*ENTRIES, RosterEntry("川" * 42 + "xx", "長い", bytes(32)))
        assert len(entries[-1].id.encode()) == 128
        SignedRoster.sign(dataclasses.replace(ROSTER, members=entries), ROOT)

    def test_that_lacks_a_member_of_the_plan_is_told_with_its_name(self) -> None:
        Parties(ROSTER, ("a01", "b02", "川崎"))
        with pytest.raises(NotInRoster, match=r"横浜, which roster 3"):
            Parties(ROSTER, ("a01", "b02", "横浜"))

    def test_gives_abscissae_from_one_in_the_order_of_ids(self) -> None:
        assert ROSTER.indices == {"a01": 1, "b02": 2, "川崎": 3}

    def test_gives_keys_by_id(self) -> None:
        assert ROSTER.keys["b02"] == HAMAMATSU.public_key


def test_a_refusal_can_be_told_in_japanese_too() -> None:
    with pytest.raises(RengoError) as caught:
        opened(digest=OTHER_CONTEXT)
    assert "署名を検証できません" in caught.value.text("ja")
