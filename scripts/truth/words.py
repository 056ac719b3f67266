"""What the made files say, in our own words, and how it is read: a line for each paragraph, item and table row."""

from typing import NamedTuple


class Block(NamedTuple):
    """`kind`: title, heading, paragraph, item or table. A table has `rows`, the first of headings; others `text`."""

    kind: str
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()

    @property
    def lines(self) -> list[str]:
        return [" | ".join(cell for cell in row if cell) for row in self.rows] if self.rows else [self.text]


def expected(blocks: list[Block]) -> str:
    """As a person would type it. A heading has an empty line before it, which the measure does not count."""
    parts = ("\n" if block.kind == "heading" else "" for block in blocks)
    return "".join(before + "".join(f"{line}\n" for line in b.lines) for before, b in zip(parts, blocks, strict=True))


PROCEDURE = [
    Block("title", "主軸ユニットの点検手順"),
    Block(
        "paragraph",
        "この手順は、立形マシニングセンタの主軸ユニットを、始業前と週末に点検する担当者のためのものである。"
        "点検の前に必ず主電源を切り、操作盤に「点検中」の札を掛ける。回転部が完全に止まるまでカバーを開けてはならない。",
    ),
    Block("heading", "始業前の点検"),
    Block(
        "paragraph",
        "主軸を500rpmで3分間回し、異音と振動がないことを確かめる。続いて1500rpmまで上げ、軸受の温度を放射温度計で測る。"
        "室温との差が25℃を超えたときは運転を止め、保全担当に連絡する。",
    ),
    Block("item", "・冷却水の量が下限の目盛りより上にあること"),
    Block("item", "・エアの圧力が0.5MPa以上あること"),
    Block("item", "・切りくずが主軸の端面に残っていないこと"),
    Block("heading", "異常のときの処置"),
    Block(
        "paragraph",
        "アラーム「AL-203」が出たときは、まず非常停止ボタンを押す。次に、ベルトの張りと潤滑油の量を調べる。"
        "同じアラームが1時間に2回以上出るときは、軸受が傷んでいるおそれがあるので、交換するまで機械を使わない。",
    ),
    Block("paragraph", "処置の内容は、日時、号機、担当者とともに設備日報に書き、班長の確認を受ける。"),
]

SPECIFICATION = [
    Block("title", "油圧ユニットの仕様"),
    Block("paragraph", "次の表は、プレス機の油圧ユニットについて、基準となる値と点検の周期を示す。"),
    Block(
        "table",
        rows=(
            ("項目", "基準値", "周期", "備考"),
            ("吐出圧力", "7.0MPa", "毎日", "圧力計で読む"),
            ("油温", "30～55℃", "毎日", "夏は上限に注意"),
            ("作動油の量", "120L", "毎週", "油面計の中央"),
            ("フィルタ", "差圧0.3MPa以下", "毎月", "超えたら交換する"),
            ("アキュムレータ", "窒素3.5MPa", "半年", "有資格者が行う"),
        ),
    ),
    Block("paragraph", "表の値は、油温が40℃のときのものである。冬の始動では、30分の暖機運転のあとに測る。"),
]

WRAPPED = [
    Block("title", "不具合と処置の一覧"),
    Block(
        "table",
        rows=(
            ("現象", "考えられる原因", "処置"),
            (
                "寸法のばらつきが大きい",
                "工具の摩耗が進んでいる、または取り付けのねじがゆるんでいる",
                "刃先を顕微鏡で調べ、摩耗が0.2mmを超えていれば交換する",
            ),
            (
                "面粗さが悪い",
                "切削液の濃度が下がっている",
                "濃度を5～8%に合わせ、ノズルの向きを刃先に直してから試し削りをする",
            ),
            ("びびり音がする", "突き出しが長すぎる", "工具の突き出しを直径の4倍以内にし、送りを1割下げる"),
        ),
    ),
    Block("paragraph", "三回続けて直らないときは、生産技術に連絡する。"),
]

LONG = [
    *PROCEDURE,
    Block("heading", "週末の点検"),
    *(
        Block("paragraph", text)
        for text in (
            "週末には、主軸の振れを測る。テストバーを取り付け、端面から300mmのところで振れが0.01mm以下であることを確かめる。"
            "超えているときは、テーパ面を清掃して測り直す。それでも超えるときは、引き込み力を調べる。",
            "工具の引き込み力は、専用の測定器で3回測り、平均を記録する。基準は12kNで、10kNを下回ったら皿ばねを交換する。"
            "皿ばねは一枚だけを替えず、必ず全数を同じ製造番号のものに替える。",
            "潤滑油は、決められた銘柄のものを使う。ほかの銘柄と混ぜると、泡が立って油膜が切れることがある。"
            "給油口のまわりを拭いてから入れ、こぼした油はその場で拭き取る。",
            "エアフィルタの水は、毎日の終わりに抜く。水が多い日が続くときは、コンプレッサ室のドライヤを調べてもらう。"
            "配管の途中にたまった水は、シリンダの動きを鈍くする。",
        )
    ),
    Block("heading", "記録と引き継ぎ"),
    *(
        Block("paragraph", text)
        for text in (
            "点検の結果は、その日のうちに点検表に書く。数値を書く欄には、良否だけでなく必ず測った値を書く。"
            "前の週より大きく変わったときは、基準の内であっても班長に伝える。",
            "交替のときは、止まっている機械、仮の処置をした機械、次の番で様子を見る機械の三つを、口頭と書面の両方で伝える。"
            "仮の処置をしたところには黄色の札を付け、札を外せるのは処置を終えた人だけとする。",
            "点検表は3年間保管する。軸受や皿ばねを交換したときの記録は、機械を廃却するまで残す。",
        )
    ),
]

TATE = [
    Block("title", "工場に伝わる心得"),
    Block(
        "paragraph",
        "機械は急に壊れるものではない。壊れる前に、音が変わり、においが変わり、手に伝わる震えが変わる。"
        "毎朝同じ時刻に、同じ場所に立って、同じ順に見て回る者だけが、その変わり目に気づく。",
    ),
    Block(
        "paragraph",
        "新しく来た者には、まず掃除をさせる。掃除をすれば、油がどこからにじみ、切りくずがどこにたまるかを、目と手で覚える。"
        "図面を読むのは、それからで遅くない。",
    ),
    Block(
        "paragraph",
        "直したところには、必ず印を残す。いつ、だれが、なぜ直したかが分からない機械ほど、恐ろしいものはない。",
    ),
]
