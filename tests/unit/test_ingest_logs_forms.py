"""The forms that logs of PLCs, panels, recorders and historians come in."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from clients.ingest import readers
from clients.ingest.confinement import Limits
from clients.ingest.content import Content, LeftOut, Unusable
from clients.ingest.logs.rows import number
from clients.ingest.parser import Parser

START = datetime(2026, 11, 22, 8)


def read(rows: Sequence[str], name: str = "log.csv", encoding: str = "utf-8", end: str = "\n") -> Content:
    return readers.parse((end.join(rows) + end).encode(encoding), name)


def minutes(count: int, form: str = "%Y/%m/%d %H:%M", each: int = 1) -> list[str]:
    return [f"{START + timedelta(minutes=each * n):{form}}" for n in range(count)]


def lines(content: Content) -> list[str]:
    return content.text.splitlines()


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("日時,炉温[℃]", "炉温[℃]"),
        ("日時,炉温（℃）", "炉温[℃]"),
        ("日時,①流量(m3/h)", "①流量[m3/h]"),
        ("日時,圧力 [kgf/cm2]", "圧力[kgf/cm2]"),
        ("日時,回転数(min-1)", "回転数[min-1]"),
        ("日時,ポンプ（予備）", "ポンプ（予備）"),
        ("日時,", "列2"),
        ("日時,炉温\n,℃", "炉温[℃]"),
        ("日時,炉温\n単位,度", "炉温[度]"),
        ("CH,CH01\nタグ,炉温\n単位,℃\n日時,炉温", "炉温（CH01）[℃]"),
    ],
)
def test_names_and_units_stand_in_headers_of_many_kinds(header: str, told: str) -> None:
    content = read([header, *(f"{time},{n}.5" for n, time in enumerate(minutes(4)))])
    assert lines(content)[1] == f"{told}: 平均 2、最小 0.5、最大 3.5、最後 3.5、上昇"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "utf-16", "utf-16-le", "euc-jp"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_ends_of_lines_are_all_the_same(encoding: str, end: str) -> None:
    rows = ["設備番号: MC-07", "日時,温度[℃],判定", *(f"{time},{n},正常" for n, time in enumerate(minutes(5)))]
    assert read(rows, encoding=encoding, end=end).text == (
        "設備番号: MC-07\nlog.csv 3～7 行目、2026-11-22 08:00～08:04、設備 MC-07\n"
        "温度[℃]: 平均 2、最小 0、最大 4、最後 4、上昇\n判定: 正常 5 回\n"
    )


def test_cp932_csv_with_vendor_characters() -> None:
    rows = ["㈱髙橋精機 ①ライン", "日時,①炉温[℃],㎜変位", *(f"{time},{n},0.5" for n, time in enumerate(minutes(3)))]
    content = read(rows, encoding="cp932")
    assert content.facts.encoding == "cp932"
    assert lines(content) == [
        "㈱髙橋精機 ①ライン",
        "log.csv 3～5 行目、2026-11-22 08:00～08:02",
        "①炉温[℃]: 平均 1、最小 0、最大 2、最後 2、上昇",
        "㎜変位: 0.5 で一定",
    ]


def test_date_and_time_in_two_columns_wherever_they_stand() -> None:
    rows = ["ロット,日付,温度,時刻", *(f"A,2026/11/22,{n},{8 + n}:00:00" for n in range(3))]
    assert lines(read(rows))[:2] == ["log.csv 2～4 行目、2026-11-22 08:00～10:00", "ロット: A 3 回"]
    digits = ["DATE,TIME,T1", *(f"20261122,{8 + n:02}0000,{n}" for n in range(3))]
    assert lines(read(digits))[0] == "log.csv 2～4 行目、2026-11-22 08:00～10:00"


def test_a_date_before_the_table_and_times_alone_over_midnight() -> None:
    rows = ["測定日,令和8年11月22日", "時刻,温度", "23:50,1", "23:55,2", "0:00,3", "00:05,4"]
    assert lines(read(rows))[1] == "log.csv 3～6 行目、2026-11-22 23:50～2026-11-23 00:05"


def test_24_00_is_the_next_day() -> None:
    rows = ["日時,電力量", *(f"令和8年11月22日 {hour}:00,{hour}" for hour in range(1, 25))]
    assert lines(read(rows))[0] == "log.csv 2～25 行目、2026-11-22 01:00～2026-11-23 00:00"


def test_a_declared_header_with_device_comments_and_blocks_apart() -> None:
    """As MELSEC's loggers write a Unicode text file; their first line says which one has the names."""
    body = [f"{time}:00,000\t5000\t{n}\t{n + 1}" for n, time in enumerate(minutes(6))]
    rows = [
        "[LOGGING]\tRCPU_1\t3\t4\t5\t6\t2",
        "成形機1号",
        "DATETIME[YYYY/MM/DD hh:mm:ss.s]\tINTERVAL[us]\tSHORT[DEC.0]\tINDEX",
        "TIME(UTC+09:00)\tINTERVAL[us]\tD100\tINDEX",
        "\t\tシリンダー温度\t",
        *body[:3],
        "",
        *body[3:],
    ]
    content = read(rows, name="LOG01_0001.TXT", encoding="utf-16", end="\r\n")
    assert content.facts.kind == "sensor log"
    assert lines(content) == [
        "成形機1号",
        "LOG01_0001.TXT 6～12 行目、2026-11-22 08:00～08:05",
        "D100（シリンダー温度）: 平均 2.5、最小 0、最大 5、最後 5、上昇",
    ]


def test_an_ordinary_text_with_tabs_stays_a_text() -> None:
    assert read(["作業手順\t一覧", "1\t2026/11/22 8:00\t点検", "以上"], name="手順.txt").facts.kind == "text"


def test_a_last_row_that_was_not_finished_is_left_out_and_counted() -> None:
    rows = ["日時,a,b", *(f"{time},1,2" for time in minutes(30))]
    for rest in ("2026/11/22 08:3", "2026/11/22 08:30,18"):
        content = readers.parse(("\n".join(rows) + "\n" + rest).encode(), "log.csv")
        assert content.left_out == (LeftOut(1, "unfinished last rows", "書きかけの最終行"),)
        assert lines(content)[-3].startswith("log.csv 2～31 行目")


def test_zeros_that_a_file_was_laid_out_with_are_no_rows() -> None:
    data = ("日時,a\n" + "".join(f"{time},1\n" for time in minutes(3))).encode() + bytes(1000)
    assert lines(readers.parse(data, "log.csv"))[0].startswith("log.csv 2～4 行目")


def test_a_header_that_comes_again_is_no_row_and_another_one_begins_another_table() -> None:
    times = minutes(6)
    rows = ["日時,a", f"{times[0]},1", "日時,a", f"{times[1]},1", "日時,b,c", f"{times[2]},2,3", f"{times[3]},2,3"]
    content = read(rows)
    assert content.left_out == ()
    assert lines(content) == [
        "log.csv 2～4 行目、2026-11-22 08:00～08:01",
        "a: 1 で一定",
        "log.csv 6～7 行目、2026-11-22 08:02～08:03",
        "b: 2 で一定",
        "c: 3 で一定",
    ]


def test_rows_out_of_order_are_told_in_order_and_repeats_once() -> None:
    body = [f"{time},{n}" for n, time in enumerate(minutes(6))]
    content = read(["日時,a", body[3], body[0], body[5], body[1], body[1], body[2], body[4]])
    assert lines(content)[1] == "a: 平均 2.5、最小 0、最大 5、最後 5、上昇"
    assert content.left_out == (LeftOut(1, "rows that were told before", "重複する行"),)


def test_a_gap_ends_a_window_and_is_said() -> None:
    times = [*minutes(10), *(f"2026/11/22 12:{n:02}" for n in range(10))]
    assert lines(read(["日時,a", *(f"{time},1" for time in times)])) == [
        "log.csv 2～11 行目、2026-11-22 08:00～08:09",
        "a: 1 で一定",
        "log.csv 12～21 行目、2026-11-22 12:00～12:09",
        "直前に 3 時間 51 分の空白（2026-11-22 08:09 から記録なし）",
        "a: 1 で一定",
    ]


@pytest.mark.parametrize(
    ("seconds", "rows_a_window"), [(1, 600), (5, 120), (60, 30), (180, 40), (300, 24), (600, 24), (3600, 24)]
)
def test_a_window_is_the_shortest_of_a_few_lengths_that_holds_24_readings(seconds: int, rows_a_window: int) -> None:
    body = [f"{START + timedelta(seconds=seconds * n)},1" for n in range(2 * rows_a_window)]
    heads = [line for line in lines(read(["日時,a", *body])) if "行目" in line]
    spans = [head.split()[1].removesuffix("行目、2026-11-22") for head in heads]
    assert spans == [f"2～{rows_a_window + 1}", f"{rows_a_window + 2}～{2 * rows_a_window + 1}"]


def test_windows_of_irregular_readings_are_24_times() -> None:
    moments = [START + timedelta(seconds=n * n) for n in range(60)]
    heads = [line for line in lines(read(["日時,a", *(f"{at},1" for at in moments)])) if "行目" in line]
    assert [head.split()[1] for head in heads] == ["2～25", "26～49", "50～61"]


def test_a_tag_that_is_read_less_often_has_no_missing_readings() -> None:
    body = [f"{time},{n},{n if n % 5 == 0 else ''}" for n, time in enumerate(minutes(30))]
    assert lines(read(["日時,速い,遅い", *body]))[2] == "遅い: 平均 12.5、最小 0、最大 25、最後 25、上昇（6 点）"


def test_each_machine_of_a_file_is_told_by_itself() -> None:
    body = [f"{time},{'003' if n % 2 else '001'},{n % 2}" for n, time in enumerate(minutes(6))]
    assert lines(read(["計測日時,設備番号,値A", *body])) == [
        "log.csv 2～6 行目、2026-11-22 08:00～08:04、設備 001",
        "値A: 0 で一定",
        "log.csv 3～7 行目、2026-11-22 08:01～08:05、設備 003",
        "値A: 1 で一定",
    ]


def test_the_long_form_is_told_as_the_wide_one() -> None:
    long = ["時刻,タグ名,値,単位,品質"]
    for n, time in enumerate(minutes(5)):
        long += [f"{time},TI-101,{n},℃,{'Bad' if n == 2 else 'Good'}", f"{time},PI-201,0.61,MPa,192"]
    assert lines(read(long)) == [
        "log.csv 2～11 行目、2026-11-22 08:00～08:04",
        "TI-101[℃]: 平均 2、最小 0、最大 4、最後 4、上昇",
        "TI-101の状態: Bad 1 回",
        "PI-201[MPa]: 0.61 で一定",
    ] or lines(read(long))[1:] == [
        "PI-201[MPa]: 0.61 で一定",
        "TI-101[℃]: 平均 2、最小 0、最大 4、最後 4、上昇",
        "TI-101の状態: Bad 1 回",
    ]


@pytest.mark.parametrize("header", ["日時,T1,T1_Quality,T2,T2_Quality", "日時,T1,品質,T2,品質"])
def test_a_reading_whose_quality_is_bad_is_no_number(header: str) -> None:
    body = [f"{time},{n},{'Good' if n else 'Uncertain'},5,192" for n, time in enumerate(minutes(5))]
    assert lines(read([header, *body]))[1:] == [
        "T1: 平均 2.5、最小 1、最大 4、最後 4、上昇",
        "T1の状態: Uncertain 1 回",
        "T2: 5 で一定",
    ]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("１８２．４", 182.4),
        ("182.4℃", 182.4),
        ("１２％", 12),
        ("1,234.5", 1234.5),
        ("−3", -3),
        ("+.5", 0.5),
        ("1E3", 1e3),
    ],
)
def test_numbers_however_they_are_written(cell: str, value: float) -> None:
    assert number(cell, decimal_comma=False) == value


@pytest.mark.parametrize("cell", ["nan", "inf", "1_000", "0x1F", "12:30", "1,23", "OFF", "-", "1e999", "A-1"])
def test_what_looks_like_a_number_to_python_alone_is_a_state(cell: str) -> None:
    body = [f'{time},"{cell if n == 2 else n}"' for n, time in enumerate(minutes(5))]
    assert lines(read(["日時,a", *body]))[2] == f"aの状態: {cell} 1 回"


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("発生日時,復旧日時,コード,メッセージ,レベル", "26/11/22 8:{:02},26/11/22 9:00:00,203,炉温上限異常,1"),
        ("日時,設備番号,作業内容,担当", "2026/11/22 8:{:02},MC-07,入口フィルターを清掃,佐藤"),
        ("Date,Time,Event", "2026/11/22,8:{:02}:00,Overcurrent on axis 3"),
        ("26/11/22 7:59,E203,サーボ過負荷", "26/11/22 8:{:02},E203,サーボ過負荷"),
    ],
)
def test_logs_of_events_are_known_by_their_form(header: str, row: str) -> None:
    assert read([header, *(row.format(n) for n in range(6))]).facts.kind == "event log"


@pytest.mark.parametrize(
    ("header", "row", "kind"),
    [
        ("日時,炉温,圧力,異常", "2026/11/22 8:{:02},180,0.6,なし", "sensor log"),
        ("日時,炉温,運転モード", "2026/11/22 8:{:02},180,自動", "sensor log"),
        ("日時,炉温,湿度,風量,備考", "2026/11/22 8:{:02},180,45,12,扉が開いたまま", "sensor log"),
        ("品番,名称,数量", "A-{},軸受（小）,4", "table"),
        ("日付,品番,数量", "2026/11/22,A-{},4", "table"),
    ],
)
def test_words_beside_numbers_make_no_log_of_events(header: str, row: str, kind: str) -> None:
    assert read([header, *(row.format(n) for n in range(6))]).facts.kind == kind


def test_an_alarm_history_is_told_by_time_each_event_once() -> None:
    rows = ["No.,発生日時,コード,メッセージ,設備番号"]
    rows += [
        "1,26/11/22 10:00:10,203,炉温上限異常,MC-07",
        "2,26/11/22 9:00,E1,エアー圧低下,",
        "3,26/11/22 9:00,E1,エアー圧低下,",
    ]
    assert read(rows, encoding="cp932", end="\r").text == (
        "log.csv 2～3 行目、2026-11-22 09:00～10:00:10\n"
        "2026-11-22 09:00 コード: E1 | メッセージ: エアー圧低下\n"
        "2026-11-22 10:00:10 設備 MC-07 | コード: 203 | メッセージ: 炉温上限異常\n"
    )


def test_a_quotation_mark_that_is_never_closed_costs_nothing_else() -> None:
    rows = ["日時,a,b", *(f"{time},1,{chr(34) if n == 3 else ''}x" for n, time in enumerate(minutes(40)))]
    assert lines(read(rows))[-3].startswith("log.csv 32～41 行目")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (",".join(f"c{n}" for n in range(10**5)).encode() + b"\n", "a line of more than 524288 characters"),
        (b"x," * 5000 + b"\n" + b"1," * 5000, "more than 4096 columns"),
        (b"x" * 10**6, "a line of more than 524288 characters"),
        ("日時,a\n".encode() + b'2026/11/22 08:00,"' + b"1\0" * 9 + b'"\n', "holds NUL characters"),
        (b"t,tag,value\n" + b"".join(b"2026/11/22 08:00,T%d,1\n" % n for n in range(5000)), "more than 4096 tags"),
        (b"".join(b"t,a%d\n2026/11/22 08:00,1\n" % n for n in range(1200)), "its header changes more than 1000 times"),
        (bytes(1000), "empty"),
    ],
)
def test_what_is_beyond_all_measure_is_set_aside(data: bytes, reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        readers.parse(data, "log.csv")


@pytest.mark.parametrize(
    ("megabytes", "memory"), [(6, 384 * 2**20), pytest.param(62, Limits().memory, marks=pytest.mark.slow)]
)
def test_a_large_log_is_read_within_the_parsing_process_limits(tmp_path: Path, megabytes: int, memory: int) -> None:
    rows = ["日時," + ",".join(f"温度{tag}[℃]" for tag in range(10))]
    cells = ",".join(["182.456", *["-0.5"] * 7, "Inp OutRange", ""])
    count = megabytes * 10**6 // (len(cells) + 22)
    rows += [f"{START + timedelta(seconds=n):%Y/%m/%d %H:%M:%S},{cells}" for n in range(count)]
    path = tmp_path / "log.csv"
    path.write_bytes("\r\n".join(rows).encode("cp932"))
    with Parser(replace(Limits(), memory=memory)) as parser, path.open("rb") as file:
        (part,) = parser.parts(file.fileno(), path.name)
    assert isinstance(part.result, Content), part.result
    assert f"～{count + 1} 行目" in part.result.text


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("作業者", ["山田", "𠮷田", "グエン"]),
        ("社員番号", ["100234", "100235", "100236"]),
        ("携帯", ["09012345678", "08087654321", "09012345679"]),
        ("User ID", ["7", "8", "9"]),
        ("オペレータ名", ["山田", "", "王"]),
    ],
)
@pytest.mark.parametrize("long", [False, True])
def test_who_it_was_is_not_told_among_readings(column: str, values: Sequence[str], long: bool) -> None:
    if long:
        tags = [f"温度,{n % 3}" if n % 2 else f"{column},{values[n % 3]}" for n in range(30)]
        content = read(["日時,タグ,値", *map(",".join, zip(minutes(30), tags, strict=True))])
    else:
        rows = [f"{time},{n % 3},{values[n % 3]}" for n, time in enumerate(minutes(30))]
        content = read([f"日時,温度,{column}", *rows])
    assert "温度: 平均" in content.text
    assert column not in content.text
    assert not any(value in content.text for value in values if len(value) > 1)


@pytest.mark.parametrize("column", ["作業時間", "使用者数", "管理値", "TEL_LEVEL", "運転状態"])
def test_what_only_sounds_like_persons_is_told(column: str) -> None:
    content = read([f"日時,{column}", *(f"{time},{n}" for n, time in enumerate(minutes(30)))])
    assert f"{column}: 平均" in content.text
