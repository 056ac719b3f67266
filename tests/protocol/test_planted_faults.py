"""The suite is worth what it notices: each fault is planted in the real code, and the test beside it must fail."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import ANY

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from aggregator.store import Store
from clients.journal import Journal
from clients.member import Member
from clients.policy import Policy
from federation.errors import RengoError
from federation.plan import threshold
from federation.secagg import client, server
from federation.secagg.client import AgreedSent, Seat
from federation.secagg.history import History
from federation.secagg.messages import Revealed
from federation.secagg.parties import Parties
from federation.secagg.primitives import add_masks, derive
from federation.secagg.server import Aggregation, Answers, Step
from federation.wire import Signed, read_body
from tests.protocol import (
    test_attacks_history,
    test_attacks_members,
    test_attacks_opening,
    test_attacks_rollback,
    test_attacks_setup,
    test_closed_jobs,
    test_member_restarts,
    test_restarts,
    test_rounds,
    test_state_machine,
)
from tests.protocol.liars import altered

Patch = pytest.MonkeyPatch
Fault = Callable[[Patch], None]
Check = Callable[[Path], object]


def wrong_sign_between_pairs(patch: Patch) -> None:
    patch.setattr(client, "add_masks", lambda vector, masks, _: add_masks(vector, [(key, 1) for key, _ in masks]))


def wrong_sign_for_drop_outs(patch: Patch) -> None:
    patch.setattr(server, "add_masks", lambda vector, masks, _: add_masks(vector, [(key, -1) for key, _ in masks]))


def masks_without_context(patch: Patch) -> None:
    salted = lambda secret, _, purpose, *parties: derive(secret, bytes(32), purpose, *parties)  # noqa: E731
    patch.setattr(client, "derive", salted)
    patch.setattr(server, "derive", salted)
    patch.setattr(test_attacks_opening, "derive", salted)


def both_kinds_of_share(patch: Patch) -> None:
    honest = AgreedSent.on_unmask

    def reveal(state: AgreedSent, message: Signed) -> Signed:
        answer = honest(state, message)
        seeds = read_body(Revealed, answer.header.body).seed_shares
        keys = {dealer: held[1] for dealer, held in state._held.items()}
        return altered(state.seat.me, answer, seed_shares=seeds, key_shares=keys)

    patch.setattr(AgreedSent, "on_unmask", reveal)
    patch.setattr(Aggregation, "_check_revealed", lambda *_: None)


def unmask_without_signatures(patch: Patch) -> None:
    honest = Parties.open

    def unchecked(parties: Parties, statement: Signed, kind: type, digest: bytes, step: str) -> object:
        return (
            read_body(kind, statement.header.body)
            if step == "Agreed"
            else honest(parties, statement, kind, digest, step)
        )

    patch.setattr(Parties, "open", unchecked)


def votes_not_counted(patch: Patch) -> None:
    honest = AgreedSent.on_unmask

    def reveal(state: AgreedSent, message: Signed) -> Signed:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Seat, "minimum", 0)
            return honest(state, message)

    patch.setattr(AgreedSent, "on_unmask", reveal)


def threshold_from_the_cohort(patch: Patch) -> None:
    honest = Parties.open_all

    def lenient(
        parties: Parties, statements: tuple[Signed, ...], kind: type, digest: bytes, step: str, minimum: int
    ) -> object:
        return honest(parties, statements, kind, digest, step, min(minimum, threshold(len(statements))))

    patch.setattr(Parties, "open_all", lenient)


def mask_key_used_again(patch: Patch) -> None:
    kept: dict[str, X25519PrivateKey] = {}
    honest = client.announce

    def announce(seat: Seat) -> object:
        state, _ = honest(seat)
        private = kept.setdefault(seat.me.id, state._mask_private)
        body = client.Keys(
            private.public_key().public_bytes_raw(), state._channel_private.public_key().public_bytes_raw()
        )
        keys = seat.me.sign(body, client.setup_context(seat.offer), "coordinator")
        return client.KeysSent(seat, keys, private, state._channel_private), keys

    patch.setattr("clients.member.announce", announce)


def commitments_not_compared(patch: Patch) -> None:
    patch.setattr(server, "share_commitment", lambda *_: ANY)


def closed_rounds_speak(patch: Patch) -> None:
    """Two faults, for two walls: the history forgets what is closed, and the member keeps the sessions of it."""
    patch.setattr(History, "require_open", lambda *_: None)
    patch.setattr(History, "require_latest", lambda *_: None)

    def keep(member: Member, name: str, value: object) -> None:
        if name == "_sessions" and isinstance(value, dict):
            value = getattr(member, name, {}) | value
        object.__setattr__(member, name, value)

    patch.setattr(Member, "__setattr__", keep)


def spent_adapters_forgotten(patch: Patch) -> None:
    patch.setattr(History, "require_unspent", lambda *_: None)


def survivors_may_be_gone(patch: Patch) -> None:
    """Again two: the sets are not compared, and a member counted twice is not seen."""
    forgiving = lambda values: [] if isinstance(values, set) else sorted(set(values))  # noqa: E731
    patch.setattr(client, "sorted", forgiving, raising=False)


def journal_after_the_fact(patch: Patch) -> None:
    honest = Journal.commit

    def late(journal: Journal, *arguments: object, **keywords: object) -> None:
        try:
            honest(journal, *arguments, **keywords)  # type: ignore[arg-type]  # whatever commit takes
        except Exception:
            return

    patch.setattr(Journal, "commit", late)


def any_plan_will_do(patch: Patch) -> None:
    patch.setattr(Policy, "check", lambda *_: None)


def holders_not_counted(patch: Patch) -> None:
    patch.setattr(Aggregation, "_require_holders", lambda *_: None)


def steps_forgotten(patch: Patch) -> None:
    patch.setattr(Store, "keep", lambda *_: None)


def sum_taken_twice(patch: Patch) -> None:
    honest = Aggregation.replay

    def replay(aggregation: Aggregation, answers: Answers) -> None:
        honest(aggregation, answers)
        if answers.total is not None:
            aggregation._sum += answers.total

    patch.setattr(Aggregation, "replay", replay)


def too_few_vectors_kept(patch: Patch) -> None:
    def kept(aggregation: Aggregation) -> Answers:
        total = aggregation._sum if aggregation.step is Step.MASKED else None
        return Answers(aggregation.offer, aggregation.step, tuple(aggregation._answers.values()), total)

    patch.setattr(Aggregation, "answers", kept)


def closed_jobs_speak(patch: Patch) -> None:
    patch.setattr(Journal, "require_not_closed", lambda *_: None)


def undealt_shares(folder: Path) -> None:
    test_attacks_members.test_a_dealer_whose_shares_too_few_hold_is_found_before_anything_is_revealed(folder)


def any_other_plan(folder: Path) -> None:
    test_attacks_setup.test_an_offer_that_the_site_did_not_approve_is_refused(
        folder, {"plan": bytes(32)}, "plan-not-approved"
    )


def unrecorded_vector(folder: Path) -> None:
    read_only = test_member_restarts.read_only
    test_member_restarts.test_what_the_journal_cannot_record_does_not_leave(folder, "shares", read_only)


def one_vector(folder: Path) -> None:
    test_attacks_rollback.test_no_member_s_vector_is_ever_in_the_coordinators_files(folder, 1)


PLANTED: list[tuple[Fault, Check]] = [
    (wrong_sign_between_pairs, test_rounds.test_without_losses_every_round_completes_with_everyone_in_it),
    (
        wrong_sign_for_drop_outs,
        test_state_machine.test_directed_a_member_that_dealt_and_then_left_has_its_pair_masks_taken_out,
    ),
    (
        masks_without_context,
        test_attacks_opening.test_masks_do_not_cancel_between_members_that_were_told_two_adapters,
    ),
    (both_kinds_of_share, test_attacks_opening.test_exactly_one_kind_of_share_is_revealed_of_each_dealer),
    (both_kinds_of_share, test_state_machine.test_directed_every_kind_of_trouble_at_once_still_completes),
    (unmask_without_signatures, test_attacks_opening.test_a_forged_vote_reveals_nothing),
    (votes_not_counted, test_attacks_opening.test_one_signature_below_the_threshold_reveals_nothing),
    (threshold_from_the_cohort, test_attacks_setup.test_the_threshold_comes_from_the_job_and_not_from_the_cohort),
    (mask_key_used_again, test_state_machine.test_directed_every_kind_of_trouble_at_once_still_completes),
    (commitments_not_compared, test_attacks_members.test_a_false_share_is_named_and_the_round_goes_on),
    (closed_rounds_speak, test_attacks_history.test_a_vector_for_the_next_round_closes_the_round_before),
    (spent_adapters_forgotten, test_attacks_history.test_the_next_round_is_not_run_on_the_adapter_of_the_last),
    (survivors_may_be_gone, test_attacks_opening.test_a_member_both_gone_and_alive_is_refused),
    (journal_after_the_fact, unrecorded_vector),
    (any_plan_will_do, any_other_plan),
    (
        holders_not_counted,
        test_attacks_members.test_a_dealer_whose_shares_too_few_hold_is_found_before_anything_is_revealed,
    ),
    (steps_forgotten, test_restarts.test_what_was_revealed_outlives_the_members_that_revealed_it),
    (sum_taken_twice, test_restarts.test_one_member_that_restarts_meanwhile_costs_the_round_nothing),
    (too_few_vectors_kept, one_vector),
    (closed_jobs_speak, test_closed_jobs.test_of_two_jobs_on_one_adapter_the_closed_one_gives_no_sum),
]


@pytest.mark.parametrize(("fault", "check"), PLANTED, ids=[fault.__name__ for fault, _ in PLANTED])
def test_the_fault_is_noticed(folder: Path, monkeypatch: Patch, fault: Fault, check: Check) -> None:
    check(folder / "sound")
    fault(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception, RengoError)):
        check(folder / "planted")
