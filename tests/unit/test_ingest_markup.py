"""HTML -> the text that a reader sees, a line for each block."""

import pytest

from clients.ingest.content import Unusable
from clients.ingest.markup import text_of


def test_headings_paragraphs_lists_and_tables() -> None:
    page = """<!DOCTYPE html><html><head><title>題</title><style>p{}</style></head><body>
    <nav><a href="/">目次</a></nav>
    <h1>主軸の点検</h1>
    <p>毎朝、<b>始業前</b>に
       確認する。Spindle
       Unit も見る。</p>
    <h2>項目</h2><ul><li>温度<li>振動 <ol><li>水平</li></ol></ul>
    <table><tr><th>項目<th>値</tr><tr><td>温度<br>（軸受）</td><td></td><td>60℃</td></tr></table>
    <script>alert("x")</script>最後の行<br>改行後
    </body></html>"""
    assert text_of(page) == (
        "主軸の点検\n毎朝、始業前に確認する。Spindle Unit も見る。\n\n項目\n温度\n振動\n水平\n"
        "項目 | 値\n温度（軸受） | 60℃\n最後の行\n改行後\n"
    )


def test_a_table_within_a_cell_is_part_of_its_row() -> None:
    page = "<table><tr><td>A<table><tr><td>B<td>C</table><td>D</table>"
    assert text_of(page) == "A B | C | D\n"


def test_preformatted_lines_stay_lines() -> None:
    assert text_of("<pre>一行\n二行</pre><p>三\n行</p>") == "一行\n二行\n三行\n"


def test_code_keeps_its_blanks_however_deep_it_is_marked_up() -> None:
    page = "<p>例</p><pre><code><span>if  x:</span>\n<span>\t  <b>y</b> = 1</span>\n\n</code></pre><p>三  四</p>"
    assert text_of(page) == "例\nif  x:\n\t  y = 1\n三 四\n"


def test_blanks_that_are_meant_stay() -> None:
    assert text_of("<p>軸受 温度\u3000上限 ①～③ &lt;b&gt; A&amp;B</p>") == "軸受 温度\u3000上限 ①～③ <b> A&B\n"


@pytest.mark.parametrize("page", ["", "<html></html>", "<script>x</script>", "<!-- -->"])
def test_a_page_without_text(page: str) -> None:
    assert text_of(page).strip() == ""


def test_nothing_outside_the_page_is_read() -> None:
    page = '<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/passwd">]><body><p>本文 &x;</p><iframe src="file:///etc/passwd">'
    assert "root:" not in text_of(page)


def test_deep_nesting_is_read_and_abuse_refused() -> None:
    assert text_of("<div>" * 900 + "底" + "</div>" * 900) == "底\n"
    assert text_of("<p>" * 2_000 + "<li>" * 2_000 + "底") == "底\n"
    with pytest.raises(Unusable, match="nested more than 1000 deep"):
        text_of("<div>" * 1_000_000)


def test_a_pages_own_control_characters_are_no_marks() -> None:
    assert text_of("<p>一\x1e二\x1f三\x02四</p>") == "一二三四\n"


def test_fields_of_a_form_are_apart() -> None:
    page = "<p><textarea>担当：山田</textarea><textarea>鈴木</textarea>済</p>"
    assert text_of(page).splitlines() == ["担当：山田", "鈴木", "済"]
