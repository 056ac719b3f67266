"""What a site's own people learn of the adapters on their own documents."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients import held_out, status_text
from clients.contribution import Measured
from federation import step
from federation.words import gains_text


class TestAParty:
    @given(base=st.floats(0, 20), loss=st.floats(0, 20))
    def test_lies_in_exactly_one_part(self, base: float, loss: float) -> None:
        assert sorted(step.gains(base, loss).values()) == [0, 0, 0, 0, 1]

    @pytest.mark.parametrize(
        ("gain", "part"),
        [(-5, "lose_much"), (-0.05, "lose"), (-0.001, "even"), (0.001, "even"), (0.05, "gain"), (0.5, "gain_much")],
    )
    def test_lies_where_its_gain_does(self, gain: float, part: str) -> None:
        assert step.gains(4.0, 4.0 - gain)[part] == 1

    def test_that_is_not_asked_is_counted_nowhere(self) -> None:
        assert step.members_by_gain({"diverged": 0.0}, 21) == {}

    def test_is_counted_from_the_mean_over_those_in_the_sum(self) -> None:
        shares = dict(zip(step.GAINS, (1 / 21, 0, 2 / 21, 18 / 21, 0), strict=True))
        counts = step.members_by_gain(shares, 21)
        assert list(counts.values()) == [1, 0, 2, 18, 0]
        assert gains_text(counts, "en").startswith("1 of 21 members lose (1 of them more than 0.1 nats a token), 2")
        assert gains_text(counts, "ja").startswith("21 拠点中 悪化 1")


class TestTheRecord:
    def test_is_for_its_owner_alone_and_tells_the_newest_of_a_job(self, tmp_path: Path) -> None:
        path = tmp_path / held_out.NAME
        for job, round, loss in (("a", 1, 4.0), ("b", 3, 9.0), ("a", 3, 3.5)):
            held_out.note(path, job, Measured(round, loss, 4.0))
        assert path.stat().st_mode & 0o777 == 0o600
        found = held_out.last(path, "a")
        assert found is not None
        assert (found.after, found.loss, found.gain) == (2, 3.5, 0.5)
        assert held_out.last(path, "c") is None

    def test_passes_over_a_line_that_a_kill_tore(self, tmp_path: Path) -> None:
        path = tmp_path / held_out.NAME
        held_out.note(path, "a", Measured(1, 4.0, 4.0))
        with path.open("a") as file:
            file.write(json.dumps({"utc": "", "job": "a"})[:9])
        assert held_out.last(path, "a") is not None

    def test_that_cannot_be_written_ends_no_round(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        held_out.note(tmp_path / "away" / held_out.NAME, "a", Measured(1, 4.0, 4.0))
        assert "cannot be written" in caplog.text

    def test_of_an_adapter_that_reads_worse_than_the_base_model_is_a_warning(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        held_out.note(tmp_path / held_out.NAME, "a", Measured(9, 3.991, 4.0))
        held_out.note(tmp_path / held_out.NAME, "a", Measured(9, 4.009, 4.0))
        assert not caplog.records
        held_out.note(tmp_path / held_out.NAME, "a", Measured(9, 4.2, 4.0))
        assert "worse than the base model: 4.200 against 4.000" in caplog.text

    def test_is_what_status_says(self) -> None:
        facts = {"id": "a", "running": False, "held_out": {"after": 8, "loss": 4.2, "base_loss": 4.0, "gain": -0.2}}
        assert "Held-out documents: after 8 rounds 4.200 nats a token, base model 4.000: WORSE" in status_text.text(
            facts, "en"
        )
        assert "評価用文書: 学習回 8 の後 4.200 nats、基盤モデル 4.000: 悪化" in status_text.text(facts, "ja")
