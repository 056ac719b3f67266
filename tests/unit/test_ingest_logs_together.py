"""Logs of one folder: each row once, events beside the readings that they fell into, and what the site says of them."""

import contextlib
import os
import unicodedata
import zipfile
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.ingest import read_documents
from clients.ingest.content import LogSpan, Unusable
from clients.ingest.logs import read
from clients.ingest.logs.settings import LogSettingsInvalid, Settings
from clients.ingest.logs.settings import read as read_settings
from clients.ingest.logs.site import Companion, Site
from clients.ingest.parser import Parser
from clients.ingest.together import MOST_EARLIER, MOST_EVENTS, Known, Others, others
from federation.errors import SettingsFileInvalid

START = datetime(2026, 11, 22, 8)
QUOTED = 'quoted = ["履歴.csv", "*アラーム.csv", "保全.csv", "巡回/*.csv", "ガス保全.csv", "警報.csv"]\n'
ALARMS = "発生日時,コード,メッセージ\n26/11/22 8:05:30,E1,エアー圧低下\n26/11/22 9:10,E203,炉温上限異常\n"


def log(first: int, last: int, tag: str = "炉温[℃]", value: str = "{}") -> str:
    """A reading a minute, from minute `first` up to `last`."""
    body = (f"{START + timedelta(minutes=n):%Y/%m/%d %H:%M},{value.format(n)}\n" for n in range(first, last))
    return f"日時,{tag}\n" + "".join(body)


@pytest.fixture(scope="module")
def parser() -> Parser:
    with Parser() as parser:
        yield parser  # type: ignore[misc]


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("cp932" if name.endswith(".csv") else "utf-8"))
    return folder


def texts(folder: Path, parser: Parser, permitted: tuple[str, ...] = ()) -> dict[str, list[str]]:
    return {each.name: each.text.splitlines() for each in read_documents(folder, parser, permitted).documents}


def test_rows_that_two_exports_share_are_told_by_the_first(tmp_path: Path, parser: Parser) -> None:
    written(tmp_path, {"a.csv": log(0, 60), "b.csv": log(45, 90), "c.csv": log(10, 50)})
    reading = read_documents(tmp_path, parser)
    heads = [line for each in reading.documents for line in each.text.splitlines() if "行目" in line]
    assert heads == [
        "a.csv 2～31 行目、2026-11-22 08:00～08:29",
        "a.csv 32～61 行目、2026-11-22 08:30～08:59",
        "b.csv 17～46 行目、2026-11-22 09:00～09:29",
    ]
    assert [each.count for each in reading.documents[1].left_out] == [15]
    assert [(each.name, each.reason) for each in reading.set_aside] == [("c.csv", "all its rows are in a.csv")]


def test_exports_in_an_archive_are_told_once_too(tmp_path: Path, parser: Parser) -> None:
    with zipfile.ZipFile(tmp_path / "1月.zip", "w") as archive:
        archive.writestr("x/b.csv", log(20, 60))
    written(tmp_path, {"0.csv": log(0, 40)})
    assert texts(tmp_path, parser)["1月.zip/x/b.csv"][0] == "b.csv 22～41 行目、2026-11-22 08:40～08:59"


def test_logs_within_one_archive_are_told_once_and_have_their_events(tmp_path: Path, parser: Parser) -> None:
    with zipfile.ZipFile(tmp_path / "1月.zip", "w") as archive:
        archive.writestr("a.csv", log(0, 30))
        archive.writestr("b.csv", log(20, 40))
        archive.writestr("履歴.csv", ALARMS)
    written(tmp_path, {"logs.toml": QUOTED})
    found = texts(tmp_path, parser)
    assert "この間の記録: 08:05:30 コード: E1 | メッセージ: エアー圧低下（履歴.csv 2 行目）" in found["1月.zip/a.csv"]
    assert found["1月.zip/b.csv"][0] == "b.csv 12～21 行目、2026-11-22 08:30～08:39"


def test_machines_that_write_the_same_columns_at_the_same_times_are_two(tmp_path: Path, parser: Parser) -> None:
    written(tmp_path, {"1号機.csv": log(0, 30), "2号機.csv": log(0, 30, value="5{}")})
    assert len(texts(tmp_path, parser)) == 2


def test_machines_that_files_name_are_two_even_if_both_stand_still(tmp_path: Path, parser: Parser) -> None:
    written(tmp_path, {f"{n}.csv": f"設備番号,MC-{n}\n" + log(0, 30, value="0") for n in (1, 2)})
    assert [found[1].endswith(f"設備 MC-{n}") for n, found in enumerate(texts(tmp_path, parser).values(), 1)] == [
        True
    ] * 2


def test_rows_of_a_forbidden_log_are_told_by_no_other(tmp_path: Path, parser: Parser) -> None:
    written(tmp_path, {"a.csv": log(0, 40), "社外秘/z.csv": log(20, 60)})
    found = texts(tmp_path, parser)
    assert found["a.csv"][0] == "a.csv 2～21 行目、2026-11-22 08:00～08:19"
    assert list(found) == ["a.csv"]


def test_events_of_a_forbidden_file_stand_beside_nothing(tmp_path: Path, parser: Parser) -> None:
    written(tmp_path, {"logs.toml": QUOTED, "a.csv": log(0, 30), "社外秘_アラーム.csv": ALARMS})
    assert "記録" not in "".join(texts(tmp_path, parser)["a.csv"])


def test_events_stand_beside_the_windows_that_they_fell_into_or_followed(tmp_path: Path, parser: Parser) -> None:
    written(tmp_path, {"logs.toml": QUOTED, "ログ/a.csv": log(0, 30), "アラーム/履歴.csv": ALARMS})
    assert texts(tmp_path, parser)["ログ/a.csv"][2:] == [
        "この間の記録: 08:05:30 コード: E1 | メッセージ: エアー圧低下（履歴.csv 2 行目）",
        "その後の記録（1 時間以内）: 09:10 コード: E203 | メッセージ: 炉温上限異常（41 分後、履歴.csv 3 行目）",
    ]


def test_events_stand_beside_nothing_unless_the_site_wants_it(tmp_path: Path, parser: Parser) -> None:
    written(tmp_path, {"ログ/a.csv": log(0, 30), "アラーム/履歴.csv": ALARMS})
    assert not any("エアー圧低下" in line for line in texts(tmp_path, parser)["ログ/a.csv"])


def test_events_are_for_the_readings_of_their_own_folder(tmp_path: Path, parser: Parser) -> None:
    written(tmp_path, {"logs.toml": QUOTED})
    written(tmp_path, {"1/a.csv": log(0, 30), "1/履歴.csv": ALARMS, "2/b.csv": log(0, 30, value="5{}")})
    found = texts(tmp_path, parser)
    assert "E1" in "".join(found["1/a.csv"])
    assert "E1" not in "".join(found["2/b.csv"])


def test_an_event_of_another_machine_stands_beside_nothing(tmp_path: Path, parser: Parser) -> None:
    notes = "日時,設備番号,作業内容\n2026/11/22 8:10,ＭＣ-1,フィルターを清掃\n2026/11/22 8:11,MC-2,ベルトを交換\n"
    written(tmp_path, {"logs.toml": QUOTED, "a.csv": "設備番号,MC-1\n" + log(0, 30), "保全.csv": notes})
    told = "".join(texts(tmp_path, parser)["a.csv"])
    assert "清掃" in told
    assert "ベルト" not in told


def test_what_the_site_says_of_its_logs(tmp_path: Path, parser: Parser) -> None:
    site = """
    window = 10
    after = 120
    events = ["巡回/*.csv"]
    quoted = ["巡回/*.csv"]
    [[machines]]
    files = "ログ/*"
    name = "乾燥炉"
    [[tags]]
    tag = "炉温"
    machine = "乾燥炉"
    unit = "K"
    low = 2
    high = 7.5
    """
    rounds = "日時,値\n2026/11/22 10:00,12\n"
    written(tmp_path, {"logs.toml": site, "ログ/a.csv": log(0, 10), "巡回/x.csv": rounds})
    assert texts(tmp_path, parser)["ログ/a.csv"] == [
        "a.csv 2～11 行目、2026-11-22 08:00～08:09、設備 乾燥炉",
        "炉温[K]: 平均 4.5、最小 0、最大 9、最後 9、上昇",
        "炉温[K]の上限 7.5 超過: 2 回（08:08～08:09、最大 9）",
        "炉温[K]の下限 2 未満: 2 回（08:00～08:01、最小 0）",
        "その後の記録（2 時間以内）: 10:00 値: 12（1 時間 51 分後、x.csv 2 行目）",
    ]
    assert "logs.toml" not in {each.name for each in read_documents(tmp_path, parser).set_aside}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("windows = 5", "windows"),
        ("window = -1", "window"),
        ("[[tags]]\nlow = 1", "tag"),
        ('[[tags]]\ntag = "a"\nhi = 1', "hi"),
        ("machines = 3", "files"),
        ('events = "a.csv"', "events"),
        ('[[tags]]\ntag = "炉温"\nlow = 190\nhigh = 170', "炉温: 190 is more than high, 170"),
    ],
)
def test_a_fault_in_the_sites_settings_is_told_and_nothing_is_read(tmp_path: Path, text: str, fault: str) -> None:
    written(tmp_path, {"logs.toml": text, "a.csv": log(0, 30)})
    with pytest.raises(LogSettingsInvalid, match=fault):
        read_documents(tmp_path)


def test_settings_that_would_hang_or_break_a_reader_are_told(tmp_path: Path) -> None:
    written(tmp_path, {"a.csv": log(0, 30)})
    path = tmp_path / "logs.toml"
    for text in ("a = " + "[" * 5_000, "window = " + "9" * 5_000):
        path.write_text(text)
        with pytest.raises(SettingsFileInvalid):
            read_documents(tmp_path)
    path.write_text('[[tags]]\ntag = "a"\nhigh = ' + "9" * 400)
    with pytest.raises(LogSettingsInvalid, match="high"):
        read_documents(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SettingsFileInvalid, match="not a regular file"):
        read_documents(tmp_path)
    path.unlink()
    path.symlink_to(tmp_path / "gone")
    with pytest.raises(SettingsFileInvalid, match="cannot be read"):
        read_documents(tmp_path)
    outside = tmp_path.with_name(tmp_path.name + "-outside")
    outside.write_text("window = 5")
    path.unlink()
    path.symlink_to(outside)
    with pytest.raises(SettingsFileInvalid, match="a link out of the folder"):
        read_documents(tmp_path)


def test_settings_that_are_no_toml_or_too_large_are_told(tmp_path: Path) -> None:
    for text in ("window 5", "#" * 2**20 + "#"):
        written(tmp_path, {"logs.toml": text})
        with pytest.raises(SettingsFileInvalid, match=r"logs\.toml"):
            read_settings(tmp_path)


ROW = st.tuples(st.integers(0, 40), st.integers(0, 3))


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=40, unique_by=lambda row: row[0]), st.lists(st.integers(0, 40), min_size=1))
def test_no_row_is_counted_twice_over_overlapping_exports(rows: list[tuple[int, int]], cuts: list[int]) -> None:
    """Exports of one log, each from some minute on for twenty minutes, in any order of files: every row that is in one
    of them is told by exactly one. Each row has a word of its own, and a record counts words."""
    exports = [[row for row in rows if cut <= row[0] < cut + 20] for cut in cuts]
    files = ["日時,状態,a,b,c\n" + "".join(_line(row) for row in export) for export in exports if export]
    told = Counter[str]()
    for at, text in enumerate(files):
        earlier = tuple(Companion(str(i), lambda data=data: data.encode()) for i, data in enumerate(files[:at]))  # type: ignore[misc]
        with contextlib.suppress(Unusable):  # all its rows are in others; that none is lost is counted below
            lines = read(text.encode(), "x.csv", Site("x.csv", Settings(window=300_000), earlier)).text.splitlines()
            told.update(_words(lines))
    union = {row for export in exports for row in export}
    assert sum(told.values()) == len(union)
    assert max(told.values(), default=1) == 1


def _words(lines: list[str]) -> dict[str, int]:
    told = [word.split() for line in lines if line.startswith("状態: ") for word in line[4:].split("、")]
    return {state: int(count) for state, count, _ in told}


def _line(row: tuple[int, int]) -> str:
    return f"2026-11-22 08:{row[0]:02},s{row[0]},{row[1]},1,2\n"


def known(file: str, first: int, last: int, kind: str = "sensor log") -> Known:
    return Known(file, "", kind, LogSpan("c", first, last))


def test_no_log_is_read_with_more_than_a_few_others() -> None:
    logs = [known(f"{n:03}.csv", 0, 10) for n in range(100)]
    found = others(logs, [], Settings())
    assert len(found["099.csv"][""].earlier) == MOST_EARLIER
    assert "000.csv" not in found


def test_logs_that_have_nothing_to_do_with_each_other_are_read_alone() -> None:
    apart = [known("a.csv", 0, 10), known("b.csv", 11, 20), known("e.csv", 10**9, 2 * 10**9, "event log")]
    assert others(apart, [], Settings()) == {}
    assert others(apart[:1], [known("z.csv", 5, 6)], Settings())["a.csv"][""] == Others((known("z.csv", 5, 6),), ())


def test_a_name_that_two_files_share_is_set_aside_for_both(tmp_path: Path, parser: Parser) -> None:
    name, marked = "ガス保全.csv", ALARMS.replace("エアー圧低下", "極秘作業")
    written(tmp_path, {"logs.toml": QUOTED, "炉.csv": log(0, 60), unicodedata.normalize("NFD", name): ALARMS})
    written(tmp_path, {unicodedata.normalize("NFC", name): "社外秘\n" + marked})
    reading = read_documents(tmp_path, parser)
    assert [each.name for each in reading.documents] == ["炉.csv"]
    assert "極秘" not in reading.documents[0].text
    assert [each.reason for each in reading.set_aside] == ["another file here has a name that reads the same"] * 2


def test_two_parts_of_one_name_in_an_archive_stand_beside_nothing(tmp_path: Path, parser: Parser) -> None:
    with zipfile.ZipFile(tmp_path / "記録.zip", "w") as archive:
        archive.writestr("炉.csv", log(0, 60))
        archive.writestr("警報.csv", ALARMS)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("警報.csv", "社外秘\n" + ALARMS.replace("エアー圧低下", "極秘作業"))
    written(tmp_path, {"logs.toml": QUOTED})
    assert not any("極秘" in line for lines in texts(tmp_path, parser).values() for line in lines)


def test_a_forbidden_log_is_told_by_no_other_however_many_are_like_it(tmp_path: Path, parser: Parser) -> None:
    alike = {f"mc{n}.csv": log(0, 60, value=f"{n}{{}}.5") for n in range(MOST_EARLIER + 1)}
    written(tmp_path, {"社外秘_炉.csv": log(0, 60), "z炉.csv": log(0, 60) + "\n"} | alike)
    read = texts(tmp_path, parser)
    assert "mc0.csv" in read
    assert "z炉.csv" not in read


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from([0, 2, 40]), st.booleans()), max_size=80))
def test_of_many_logs_the_latest_that_overlap_are_read_together(drawn: list[tuple[int, int, bool]]) -> None:
    """By the definition: two loops over all logs."""
    kinds = {True: "event log", False: "sensor log"}
    known = [
        Known(f"{'e' if event else 'r'}{n:02}.csv", "", kinds[event], LogSpan("c", first, first + length))
        for n, (first, length, event) in enumerate(drawn)
    ]
    found = others(known, [], Settings(quoted=("e*",), after=3))
    for n, one in enumerate(known):
        meets = [each for each in known[:n] if each.kind == one.kind and touches(each, one, 0)]
        beside = [e for e in known if e.kind == "event log" and one.kind == "sensor log" and touches(e, one, 3)]
        expected = Others(tuple(meets[-MOST_EARLIER:]), tuple(beside[-MOST_EVENTS:]))
        assert found.get(one.file, {}).get("", Others()) == expected


def touches(one: Known, other: Known, after: int) -> bool:
    return one.span.first <= other.span.last + after and one.span.last >= other.span.first
