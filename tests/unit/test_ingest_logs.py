"""CSV -> text: sensor logs by their template, other tables a row a line."""

import numpy as np
import pytest

from clients.ingest import logs
from clients.ingest.logs import template

LOG = ["日時,炉内温度,圧力", *(f"2026/1/5 {9 + n // 6}:{n % 6 * 10:02},{180 + n},0.61" for n in range(30))]


def read(text: str, encoding: str = "utf-8") -> str:
    return logs.read(text.encode(encoding), "乾燥炉.csv").text


def test_a_log_is_told_window_by_window() -> None:
    assert read("\r\n".join(LOG), "cp932") == (
        "乾燥炉.csv 2～25 行目、2026-01-05 09:00～12:50\n"
        "炉内温度: 平均 191.5、最小 180、最大 203、最後 203、上昇\n"
        "圧力: 0.61 で一定\n"
        "乾燥炉.csv 26～31 行目、2026-01-05 13:00～13:50\n"
        "炉内温度: 平均 206.5、最小 204、最大 209、最後 209、上昇\n"
        "圧力: 0.61 で一定\n"
    )


def test_words_in_place_of_numbers_are_counted() -> None:
    cells = ["1", "Inp OutRange", "", "2", "Bad", *["1.5"] * 9]
    rows = ["日時,T1", *(f"2026-01-05 00:{n:02}:30,{cell}" for n, cell in enumerate(cells))]
    assert read("\n".join(rows)) == (
        "乾燥炉.csv 2～15 行目、2026-01-05 00:00:30～00:13:30\n"
        "T1: 平均 1.5、最小 1、最大 2、最後 1.5、横ばい\n"
        "T1の状態: Bad 1 回、Inp OutRange 1 回、欠測 1 回\n"
    )


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_lines_before_the_table_and_other_delimiters(delimiter: str) -> None:
    lines = [line.replace(",", delimiter) for line in LOG[:4]]
    text = "\n".join(["出力: 2号機", "", *lines])
    assert read(text, "cp932") == (
        "出力: 2号機\n乾燥炉.csv 4～6 行目、2026-01-05 09:00～09:20\n"
        "炉内温度: 平均 181、最小 180、最大 182、最後 182、上昇\n圧力: 0.61 で一定\n"
    )


@pytest.mark.parametrize("day", ["05.01.2026", "2026-01-05"])
def test_a_log_of_a_european_spreadsheet_is_the_same_log(day: str) -> None:
    rows = [f"{day} {9 + n // 6}:{n % 6 * 10:02};{180 + n},5;-0,25;{'Störung' if n == 3 else n}" for n in range(24)]
    content = logs.read("\r\n".join(["Zeit;T1;T2;Zähler", *rows]).encode("utf-8-sig"), "Ofen.csv")
    assert content.facts.kind == "sensor log"
    assert content.text == (
        "Ofen.csv 2～25 行目、2026-01-05 09:00～12:50\n"
        "T1: 平均 192、最小 180.5、最大 203.5、最後 203.5、上昇\n"
        "T2: -0.25 で一定\n"
        "Zähler: 平均 11.87、最小 0、最大 23、最後 23、上昇\n"
        "Zählerの状態: Störung 1 回\n"
    )


def test_a_european_table_that_is_no_log_stays_as_it_was_written() -> None:
    told = "Teil: Lager | Preis: 12,50\nTeil: Dichtung | Preis: 3,20\n"
    assert read("Teil;Preis\nLager;12,50\nDichtung;3,20\n") == told


def test_a_comma_in_a_quoted_number_is_one_of_thousands_and_no_decimal_comma() -> None:
    rows = [f'2026-01-05 09:{n:02},"1,234.5"' for n in range(3)]
    assert "a: 1234 で一定" in read("\n".join(["t,a", *rows]))


def test_a_span_over_midnight_says_both_days() -> None:
    assert "2026-01-05 23:59～2026-01-06 00:00\n" in read("t,a\n2026年1月5日 23時59分,1\n2026-01-06T00:00,2\n")


def test_a_table_that_is_no_log() -> None:
    content = logs.read('品番,名称,数量\nA-1,軸受（小）,4\n03-1234,"シール,左",\n'.encode("utf-8-sig"), "部品表.csv")
    assert content.text == "品番: A-1 | 名称: 軸受（小） | 数量: 4\n品番: 03-1234 | 名称: シール,左\n"
    assert content.facts.kind == "table"


def test_one_column_or_no_header() -> None:
    assert read("点検\n清掃\n") == "点検\n清掃\n"
    assert read("1,2\n3,4\n") == "1 | 2\n3 | 4\n"


def test_how_it_was_read() -> None:
    facts = logs.read("\n".join(LOG).encode("utf-8-sig"), "a.csv").facts
    assert (facts.kind, facts.encoding) == ("sensor log", "utf-8")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (0.61, "0.61"),
        (12345.678, "12346"),
        (-1.23456, "-1.235"),
        (2e-5, "0.00002"),
        (100.0, "100"),
    ],
)
def test_four_digits_and_no_powers_of_ten(value: float, told: str) -> None:
    assert template.rounded(value) == told


def test_falling_and_level() -> None:
    assert [template.trend(np.array(values)) for values in ([3.0, 2.0, 1.0], [1.0, 3.0, 1.0, 3.0], [1.0, 2.0])] == [
        "下降",
        "横ばい",
        "上昇",
    ]


def test_figures_that_lie_close_together_are_told_apart() -> None:
    rows = [f"2026-01-05 09:{n:02},{12 + n / 10_000:.4f}" for n in range(24)]
    assert read("\n".join(["t,直径", *rows])).splitlines()[1] == (
        "直径: 平均 12.0012、最小 12、最大 12.0023、最後 12.0023、上昇"
    )
