"""The registry keeps its rules against whoever can send it bytes."""

import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aggregator.registry import Registry
from aggregator.registry_refusals import NameTaken, RosterOutOfOrder, UnknownToRegistry
from federation.errors import SignatureInvalid
from federation.identity import COORDINATOR, Identity, RosterEntry, SignedRoster
from federation.registry import LIMITS, PROTOCOL, Ask, Introduction, Joined, Noted, Standing, context
from federation.secagg.messages import Refused
from federation.wire import Header, Malformed, Signed, read_body, read_frame, write_frame, write_header
from tests.unit.registering import Office, join_body, open_office

PLAN, OTHER = bytes(32), bytes([1]) * 32


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = open_office(tmp_path)
    yield office
    office.registry.close()


class TestJoining:
    def test_spends_the_token_and_records_the_keys(self, office: Office) -> None:
        token = office.invite("toyo")
        answer, identity = office.join(token)
        assert answer == Joined("toyo")
        [member] = office.registry.members()
        assert (member.id, member.name, member.identity_key) == ("toyo", "toyo 株式会社", identity.public_key)

    def test_with_a_used_token_is_refused(self, office: Office) -> None:
        token = office.invite("toyo")
        _, first = office.join(token)
        answer, _ = office.join(token)
        assert isinstance(answer, Refused)
        assert answer.code == "token-refused"
        assert "used already" in answer.reason
        assert [m.identity_key for m in office.registry.members()] == [first.public_key]

    def test_again_with_the_very_same_message_is_refused(self, office: Office) -> None:
        """A recorded join, replayed."""
        token, identity = office.invite("toyo"), Identity.create("joining")
        request = office.request(join_body(token, identity), identity)
        assert office.opened(office.registry.answer(request, "a"), "joining", Joined) == Joined("toyo")
        again = office.opened(office.registry.answer(request, "b"), "joining", Joined)
        assert isinstance(again, Refused)
        assert again.code == "token-refused"

    def test_with_an_expired_token_is_refused(self, office: Office) -> None:
        answer, _ = office.join(office.invite("toyo", hours=-0.001))
        assert isinstance(answer, Refused)
        assert (answer.code, "expired" in answer.reason) == ("token-refused", True)
        assert office.registry.members() == []

    def test_with_a_token_that_a_newer_invitation_replaced_is_refused(self, office: Office) -> None:
        old, new = office.invite("toyo"), office.invite("toyo")
        assert isinstance(office.join(old)[0], Refused)
        assert office.join(new)[0] == Joined("toyo")

    def test_with_an_invitation_that_was_withdrawn_is_refused(self, office: Office) -> None:
        token = office.invite("toyo")
        office.registry.revoke("toyo")
        assert isinstance(office.join(token)[0], Refused)
        with pytest.raises(UnknownToRegistry):
            office.registry.revoke("toyo")

    def test_twice_at_once_with_one_token_lets_exactly_one_in(self, office: Office, tmp_path: Path) -> None:
        """Two processes' connections to one database, as two servers would have them."""
        token = office.invite("toyo")
        answers: list[Joined | Refused] = []
        ready = threading.Barrier(4)

        def race() -> None:
            registry = Registry(
                tmp_path / "registry.sqlite", office.coordinator, office.root.public_key, "PEM", "x:1", "0"
            )
            one = replace(office, registry=registry)
            ready.wait()
            answers.append(one.join(token)[0])
            registry.close()

        threads = [threading.Thread(target=race) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(type(answer).__name__ for answer in answers) == ["Joined", "Refused", "Refused", "Refused"]
        assert len(office.registry.members()) == 1

    def test_announcing_anothers_key_is_refused_and_spends_nothing(self, office: Office) -> None:
        token, victim, thief = office.invite("toyo"), Identity.create("joining"), Identity.create("joining")
        answer = office.ask(join_body(token, victim), thief, Joined)
        assert isinstance(answer, Refused)
        assert answer.code == "signature-invalid"
        assert office.join(token)[0] == Joined("toyo")

    def test_with_a_key_that_another_member_has_is_refused_and_spends_nothing(self, office: Office) -> None:
        """One key under two names would make one site two members."""
        member = office.member("toyo")
        token, same = office.invite("other"), Identity.from_private_bytes("joining", member.private_bytes())
        answer = office.ask(join_body(token, same), same, Joined)
        assert isinstance(answer, Refused)
        assert answer.code == "key-taken"
        assert office.join(token)[0] == Joined("other")

    def test_with_the_node_key_of_another_member_is_refused_and_harms_nobody(self, office: Office) -> None:
        """A node's key is no secret: whoever was invited could announce somebody else's."""
        victim = Identity.create("joining")
        join = join_body(office.invite("toyo"), victim)
        assert office.ask(join, victim, Joined) == Joined("toyo")
        for node_key in (join.node_key, join.node_key + " with-a-comment"):
            answer, _ = office.join(office.invite("other"), node_key=node_key)
            assert isinstance(answer, Refused)
            assert answer.code == "key-taken"
        assert [m.id for m in office.registry.members()] == ["toyo"]

    @pytest.mark.parametrize("key", ["", "ecdsa-sha2-nistp384 AAAA", "名古屋", "ssh-ed25519 " + "A" * 68])
    def test_with_a_node_key_that_would_stop_the_carrier_is_refused(self, key: str, office: Office) -> None:
        answer, _ = office.join(office.invite("toyo"), node_key=key)
        assert isinstance(answer, Refused)
        assert answer.code == "malformed"
        assert office.registry.members() == []

    def test_with_the_keys_of_a_revoked_member_is_refused(self, office: Office) -> None:
        """A lost disk's keys do not come back, not even under their old name."""
        old = office.member("toyo")
        office.registry.revoke("toyo")
        again = Identity.from_private_bytes("joining", old.private_bytes())
        answer = office.ask(join_body(office.invite("toyo"), again), again, Joined)
        assert isinstance(answer, Refused)
        assert answer.code == "key-taken"

    def test_in_another_consortiums_context_is_refused(self, office: Office) -> None:
        token, identity = office.invite("toyo"), Identity.create("joining")
        request = office.request(join_body(token, identity), identity, digest=context(bytes(32)))
        answer = office.opened(office.registry.answer(request, "a"), "joining", Joined)
        assert isinstance(answer, Refused)
        assert answer.code == "signature-invalid"

    def test_with_another_protocol_names_the_version_to_install(self, office: Office) -> None:
        token = office.invite("toyo")
        answer, _ = office.join(token, protocol=PROTOCOL + 1, rengo="9.9.9")
        assert isinstance(answer, Refused)
        assert answer.code == "protocol-version-differs"
        assert "Install rengo 0.1.0" in answer.reason
        assert office.join(token)[0] == Joined("toyo")  # the token is as good as before

    def test_is_told_so_whatever_else_the_other_version_writes(self, office: Office) -> None:
        """Fields that are not known here, and no signature that could be checked here."""
        member = office.member("toyo")
        body = {"time": [0], "protocol": PROTOCOL + 1, "rengo": "9.9.9\n", "tomorrow": 1}
        header = write_header(Header("ask", office.context, "toyo", COORDINATOR, body, 0, None))
        answer = office.opened(office.registry.answer(write_frame([Signed(header, bytes(64))]), "a"), "toyo", Standing)
        assert isinstance(answer, Refused)
        assert answer.code == "protocol-version-differs"
        assert f"protocol {PROTOCOL + 1} (rengo 9.9.9\\n), the consortium speaks {PROTOCOL}. Install" in answer.reason
        assert isinstance(office.standing(member), Standing)

    def test_never_keeps_the_secret(self, office: Office, tmp_path: Path) -> None:
        token = office.invite("toyo")
        office.join(token)
        office.join(token)
        office.registry.close()
        for file in tmp_path.iterdir():
            assert token.secret.encode() not in file.read_bytes()
            assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_is_written_to_the_log_with_where_it_came_from(self, office: Office) -> None:
        token = office.invite("toyo")
        office.join(token)
        office.join(token)
        assert [(peer, event) for _, peer, event in office.registry.log()][-2:] == [
            ("192.0.2.1", "toyo joined"),
            ("192.0.2.1", "refused join of joining: token-refused"),
        ]


class TestAsking:
    def test_gives_the_newest_roster_and_plan(self, office: Office) -> None:
        toyo = office.member("toyo")
        roster = office.publish()
        office.registry.propose_plan(b"old", OTHER)
        office.registry.propose_plan(b"plan", PLAN)
        standing = office.standing(toyo)
        assert isinstance(standing, Standing)
        assert standing.verified_roster(office.root.public_key) == roster
        assert (standing.plan, standing.carrier) == (b"plan", "127.0.0.1:8444")

    def test_gives_no_plan_whose_job_is_done(self, office: Office) -> None:
        toyo = office.member("toyo")
        office.publish()
        office.registry.propose_plan(b"old", OTHER)
        office.registry.propose_plan(b"plan", PLAN)
        office.registry.finish_plan(PLAN)
        office.registry.propose_plan(b"plan", PLAN)  # a coordinator that was started again
        standing = office.standing(toyo)
        assert isinstance(standing, Standing)
        assert standing.plan == b""

    @pytest.mark.scenario(4)
    @pytest.mark.parametrize("ahead", [0, 10, -400])
    def test_records_how_far_the_members_clock_is_off(self, ahead: int, office: Office) -> None:
        office.standing(office.member("toyo"), ahead)
        [member] = office.registry.members()
        assert member.offset is not None
        assert abs(member.offset - ahead) <= 5  # a busy machine between the two looks at the clock

    def test_by_a_revoked_member_is_refused(self, office: Office) -> None:
        toyo = office.member("toyo")
        office.registry.revoke("toyo")
        answer = office.standing(toyo)
        assert isinstance(answer, Refused)
        assert answer.code == "unknown-to-registry"

    def test_with_another_members_key_is_refused(self, office: Office) -> None:
        office.member("toyo")
        other = office.member("other")
        answer = office.standing(Identity.from_private_bytes("toyo", other.private_bytes()))
        assert isinstance(answer, Refused)
        assert answer.code == "signature-invalid"

    def test_with_an_old_key_after_joining_anew_is_refused(self, office: Office) -> None:
        lost = office.member("toyo")
        office.registry.revoke("toyo")
        found = office.member("toyo")
        assert isinstance(office.standing(found), Standing)
        assert isinstance(office.standing(lost), Refused)

    @pytest.mark.parametrize("time", [2**62, 2**63 - 1])
    def test_with_a_time_that_cannot_be_is_said_to_be_a_century_off(self, time: int, office: Office) -> None:
        toyo = office.member("toyo")
        assert isinstance(office.ask(Ask(time, PROTOCOL, "0.1.0"), toyo, Standing), Standing)
        assert office.registry.members()[0].offset == 100 * 365 * 86400

    def test_before_the_log_knows_of_it_changes_nothing_else(self, office: Office) -> None:
        """A refused Ask is no visit."""
        toyo = office.member("toyo")
        office.standing(Identity.create("toyo"))
        assert office.registry.members()[0].seen is None
        office.standing(toyo)
        assert office.registry.members()[0].seen is not None


@pytest.fixture
def asked(office: Office) -> tuple[bytes, bytes]:
    """The digests of a plan and a roster that members are shown."""
    office.registry.propose_plan(b"plan", PLAN)
    return PLAN, office.registry.roster().roster.digest()


class TestConsenting:
    def test_counts_for_one_plan_under_one_roster(self, office: Office, asked: tuple[bytes, bytes]) -> None:
        toyo = office.member("toyo")
        first = asked[1]
        second = office.publish().digest()
        assert office.consent(toyo, PLAN, first) == Noted()
        assert office.registry.consents(PLAN, first) == {"toyo": ("approved", "理由")}
        assert office.registry.consents(OTHER, first) == office.registry.consents(PLAN, second) == {}

    def test_can_be_taken_back(self, office: Office, asked: tuple[bytes, bytes]) -> None:
        toyo = office.member("toyo")
        office.consent(toyo, *asked)
        office.consent(toyo, *asked, "refused")
        assert office.registry.consents(*asked)["toyo"][0] == "refused"

    def test_to_what_was_never_proposed_is_refused_and_takes_no_room(
        self, office: Office, asked: tuple[bytes, bytes]
    ) -> None:
        plan, roster = asked
        for nothing in ((OTHER, roster), (plan, OTHER), (OTHER, OTHER)):
            refused = office.consent(office.member(f"m{nothing[0][0]}{nothing[1][0]}"), *nothing)
            assert isinstance(refused, Refused)
            assert refused.code == "nothing-to-consent"
            assert office.registry.consents(*nothing) == {}

    def test_for_another_member_is_refused(self, office: Office, asked: tuple[bytes, bytes]) -> None:
        office.member("toyo")
        other = office.member("other")
        forged = office.consent(Identity.from_private_bytes("toyo", other.private_bytes()), *asked)
        assert isinstance(forged, Refused)
        assert office.registry.consents(*asked) == {}

    def test_by_a_revoked_member_is_refused(self, office: Office, asked: tuple[bytes, bytes]) -> None:
        toyo = office.member("toyo")
        office.registry.revoke("toyo")
        assert isinstance(office.consent(toyo, *asked), Refused)
        assert office.registry.consents(*asked) == {}

    @pytest.mark.parametrize("answer", ["", "maybe", "APPROVED"])
    def test_with_anything_but_yes_or_no_is_refused(
        self, answer: str, office: Office, asked: tuple[bytes, bytes]
    ) -> None:
        refused = office.consent(office.member("toyo"), *asked, answer)
        assert isinstance(refused, Refused)
        assert office.registry.consents(*asked) == {}


class TestRosters:
    def test_propose_who_joined_and_was_not_revoked(self, office: Office) -> None:
        for name in ("b", "a", "c"):
            office.member(name)
        office.registry.revoke("c")
        proposal = office.registry.proposal()
        assert ([m.id for m in proposal.members], proposal.version) == (["a", "b"], 2)

    def test_follow_each_other_without_a_gap(self, office: Office) -> None:
        proposal = office.registry.proposal()
        for version in (1, 3):
            wrong = SignedRoster.sign(replace(proposal, version=version), office.root)
            with pytest.raises(RosterOutOfOrder):
                office.registry.publish_roster(wrong)
        assert office.registry.roster().roster.version == 1

    def test_of_another_root_are_refused(self, office: Office) -> None:
        with pytest.raises(SignatureInvalid):
            office.registry.publish_roster(SignedRoster.sign(office.registry.proposal(), Identity.create("root")))

    def test_that_were_changed_after_signing_are_refused(self, office: Office) -> None:
        signed = SignedRoster.sign(office.registry.proposal(), office.root)
        more = (RosterEntry("intruder", "x", bytes(32)),)
        with pytest.raises(SignatureInvalid):
            office.registry.publish_roster(replace(signed, roster=replace(signed.roster, members=more)))

    def test_invite_nobody_whose_name_is_taken(self, office: Office) -> None:
        office.member("toyo")
        with pytest.raises(NameTaken):
            office.invite("toyo")


class TestHostileBytes:
    @pytest.mark.parametrize("data", [b"", b"RNGO", b"RNGO\1\0", b"RNGO\1\1", bytes(100), b"RNGO\1\1" + b"\xff" * 200])
    def test_are_malformed(self, data: bytes, office: Office) -> None:
        with pytest.raises(Malformed):
            office.registry.answer(data, "x")

    def test_two_messages_in_one_request_are_malformed(self, office: Office) -> None:
        signed = Identity.create("x").sign(Ask(0, PROTOCOL, ""), office.context, COORDINATOR)
        with pytest.raises(Malformed):
            office.registry.answer(write_frame([signed, signed]), "x")

    def test_a_message_of_another_kind_is_refused(self, office: Office) -> None:
        answer = office.ask(Noted(), Identity.create("x"), Noted)
        assert isinstance(answer, Refused)

    def test_a_changed_byte_anywhere_in_an_ask_is_never_answered_with_a_standing(self, office: Office) -> None:
        toyo = office.member("toyo")
        request = office.request(Ask(0, PROTOCOL, "0"), toyo)
        for position in range(0, len(request), 3):
            changed = request[:position] + bytes([request[position] ^ 1]) + request[position + 1 :]
            try:
                [answer] = read_frame(office.registry.answer(changed, "x"), LIMITS)
            except Malformed:
                continue
            assert answer.header.kind == Refused.kind


class TestIntroduction:
    def test_verifies_from_the_roots_fingerprint_on(self, office: Office) -> None:
        [message] = read_frame(office.registry.introduction(), LIMITS)
        shown = read_body(Introduction, message.header.body)
        assert shown.root == office.root.public_key
        assert shown.verified_roster().coordinator_key == office.coordinator.public_key

    def test_with_a_roster_that_another_root_signed_does_not_verify(self, office: Office) -> None:
        [message] = read_frame(office.registry.introduction(), LIMITS)
        shown = read_body(Introduction, message.header.body)
        with pytest.raises(SignatureInvalid):
            replace(shown, root=Identity.create("root").public_key).verified_roster()

    def test_can_be_changed_by_nobody_but_the_coordinator(self, office: Office) -> None:
        [message] = read_frame(office.registry.introduction(), LIMITS)
        assert isinstance(message, Signed)
        assert message.header.sender == COORDINATOR
        assert message.header.digest == office.context
