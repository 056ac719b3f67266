"""`rengo coordinator members`: what a person sees of who joined and who was invited."""

import datetime
import json
from pathlib import Path

import pytest

from aggregator import cli
from federation.identity import Identity, SignedRoster
from federation.token import JoinToken
from tests.unit.registering import Office
from tests.unit.site import consortium


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two members, one of whom has called and is in the roster; two open invitations, one expired."""
    made = consortium(tmp_path)
    root = Identity.from_private_bytes("root", made.home.root_key.read_bytes())
    with made.registry() as registry:
        office = Office(registry, root, made.home.identity())
        toyo = office.member("toyo-kikai")
        registry.publish_roster(SignedRoster.sign(registry.proposal(), root))
        office.standing(toyo, ahead=-3)
        office.member("kita-seimitsu")
        office.invite("minami-kogyo", hours=2)
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
        token = JoinToken.create("https://127.0.0.1:1", root.public_key)
        registry.invite("higashi-denki", "東電機", token.secret_digest(), past)
    return made.home.path


def test_a_person_gets_a_header_local_times_and_no_figure_that_was_not_measured(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["members", "--home", str(home)], "en")
    header, kita, toyo, invited = capsys.readouterr().out.splitlines()
    assert header.split("  ")[0] == "member"
    places = [header.index(title) for title in ("member", "state", "last call", "its clock", "fingerprint")]
    cells = [[row[a:b].strip() for a, b in zip(places, [*places[1:], None], strict=True)] for row in (kita, toyo)]
    assert cells[0][:4] == ["kita-seimitsu", "joined, not in the roster", "-", "-"]
    assert cells[1][:2] == ["toyo-kikai", "in the roster"]
    assert datetime.datetime.fromisoformat(cells[1][2]).utcoffset() is not None
    assert cells[1][3] in ("-3 s", "-4 s")
    assert len(cells[1][4].split()) == 16
    assert invited.startswith("Invited, has not joined: minami-kogyo (until 20")


def test_japanese_columns_stand_under_each_other(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["members", "--home", str(home)], "ja")
    header, kita, toyo, invited = capsys.readouterr().out.splitlines()
    assert "名簿に登録済み" in toyo
    assert "参加済み・名簿未登録" in kita
    wide = [line.encode("shift_jis") for line in (header, kita, toyo)]  # two bytes where a terminal has two columns
    last = wide[0].index("照合値".encode("shift_jis"))
    for row in wide[1:]:
        assert row[last - 2 : last] == b"  "
        assert len(row[last:].split()) == 16
    assert invited.startswith("招待済み・未参加: minami-kogyo（")


def test_a_program_gets_the_open_invitations_beside_what_was_there(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["members", "--home", str(home), "--json"], "ja")
    facts = json.loads(capsys.readouterr().out)
    assert [(m["id"], m["state"]) for m in facts["members"]] == [
        ("kita-seimitsu", "joined"),
        ("toyo-kikai", "in roster"),
    ]
    assert [invitation["id"] for invitation in facts["invitations"]] == ["minami-kogyo"]
