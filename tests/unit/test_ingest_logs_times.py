"""Times as Japanese machines write them."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.ingest.logs import times

NINE = "2026-11-22 09:05"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026/11/22 9:05", NINE),
        ("2026-11-22T09:05:00.123+09:00", NINE),
        ("2026/11/22 09:05:00,000", NINE),
        ("2026/11/22,9:05:00", NINE),
        ("2026/11/22(日) 9:05", NINE),
        ("2026/11/22 (Sun) 9:05", NINE),
        ("2026年11月22日 9時05分", NINE),
        ("令和8年11月22日 9時5分", NINE),
        ("令和8年11月22日9時5分0秒", NINE),
        ("R8.11.22 09:05", NINE),
        ("R08/11/22 09:05", NINE),
        ("２０２６／１１／２２　９：０５", NINE),
        ("26/11/22 9:05", NINE),
        ("'26-11-22 9:05", NINE),
        ("22.11.2026 09:05", NINE),
        ("20261122090500", NINE),
        ("20261122 090500", NINE),
        ("2026/11/22 AM 9:05", NINE),
        ("2026/11/22 午前9:05", NINE),
        ("2026/11/22 9:05:30 PM", "2026-11-22 21:05:30"),
        ("2026/11/22 午後12:00", "2026-11-22 12:00"),
        ("2026/11/22 12:00 AM", "2026-11-22 00:00"),
        ("2026/12/31 24:00", "2027-01-01 00:00"),
        ("H31/4/30 23:59", "2019-04-30 23:59"),
        ("令和元年5月1日 0:00", "2019-05-01 00:00"),
        ("S63.1.2 3:04", "1988-01-02 03:04"),
        ("05/11/26 1:00", "2005-11-26 01:00"),
        ("99/12/31 1:00", "1999-12-31 01:00"),
    ],
)
def test_a_moment_however_it_is_written(written: str, meant: str) -> None:
    time = times.moment(written)
    assert time is not None
    assert times.shown(time) == meant


@pytest.mark.parametrize(
    "written",
    [
        "",
        "182.4",
        "2026/11/22",
        "9:05",
        "2026/13/01 9:05",
        "2026/11/31 9:05",
        "2026/11/22 24:01",
        "2026/11/22 9:60",
        "2026/11/22 13:00 PM",
        "11/22/2026 9:05",
        "9999/12/31 24:00",
        "20261399090500",
        "192.168.10.1 9:05",
        "品番 2026/11/22 9:05",
    ],
)
def test_what_is_no_moment(written: str) -> None:
    assert times.moment(written) is None


FORMS = (
    lambda t: f"{t:%Y/%m/%d %H:%M:%S}",
    lambda t: f"{t.year}年{t.month}月{t.day}日 {t.hour}時{t.minute}分{t.second}秒",
    lambda t: f"令和{t.year - 2018}年{t.month}月{t.day}日 {t:%H:%M:%S}",
    lambda t: f"R{t.year - 2018}.{t.month}.{t.day} {t.hour}:{t:%M:%S}",
    lambda t: f"{t:%y-%m-%d %H:%M:%S}",
    lambda t: f"{t:%Y%m%d%H%M%S}",
    lambda t: f"{t:%Y-%m-%dT%H:%M:%S}Z",
    lambda t: f"{t:%d.%m.%Y %H:%M:%S}",
    lambda t: f"{t:%Y/%m/%d} {'午後' if t.hour >= 12 else '午前'}{t.hour % 12}:{t:%M:%S}",
    lambda t: f"{t:%Y/%m/%d %I:%M:%S %p}",
    lambda t: f"{t:%Y/%m/%d %H:%M:%S}".translate(str.maketrans("0123456789/:", "０１２３４５６７８９／：")),
)


@given(
    st.datetimes(datetime.datetime(2019, 5, 1), datetime.datetime(2068, 12, 31)),
    st.sampled_from(FORMS),
)
def test_what_is_written_is_read_back(time: datetime.datetime, form: object) -> None:
    assert callable(form)
    meant = int((time.replace(microsecond=0) - datetime.datetime(1970, 1, 1)).total_seconds()) * 1000
    read = times.moment(form(time))
    assert read == meant
    assert times.moment(times.shown(meant)) == meant


@given(st.text(alphabet="0123456789:/-. 年月日時分令和RHSTAP,T午前後", max_size=24))
def test_no_text_is_more_than_no_moment(text: str) -> None:
    read = times.moment(text)
    assert read is None or times.moment(times.shown(read)) == read - read % 1000


def test_spans_and_lengths_as_people_say_them() -> None:
    assert times.span(0, 90 * times.MINUTE) == "1970-01-01 00:00～01:30"
    assert times.span(0, times.DAY) == "1970-01-01 00:00～1970-01-02 00:00"
    lengths = (999, 90_000, 10 * times.HOUR + 10 * times.MINUTE + 1_000, 2 * times.DAY)
    assert [times.length(each) for each in lengths] == ["1 秒未満", "1 分 30 秒", "10 時間 10 分", "2 日"]
