"""What pictures say where names cannot be drawn."""

import pytest
from matplotlib import pyplot

from aggregator.simulate import plots


def test_members_are_numbered_where_no_font_has_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pyplot.rcParams, "font.family", ["DejaVu Sans"])
    assert plots._labels(["akatombo-seiki", "空 白"])[0] == ["1", "2"]
    assert "member_ids" in plots._labels(["東洋機械"])[1]
    assert plots._labels(["akatombo-seiki"]) == (["akatombo-seiki"], "")
