# /// script
# requires-python = ">=3.11"
# dependencies = ["reportlab==5.1.0"]
# ///
"""Make the PDFs of tests/data: the same bytes each time, with the text that they are to be read as beside them.

.venv/bin/pip install reportlab==5.1.0 && .venv/bin/python scripts/make_test_pdfs.py
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from demo_members.pages import Line  # noqa: E402
from demo_members.paper import FONT, pdf  # noqa: E402
from demo_members.texts import Document  # noqa: E402
from reportlab.lib.pagesizes import A5  # noqa: E402
from reportlab.lib.pdfencrypt import StandardEncryption  # noqa: E402
from reportlab.pdfgen.canvas import Canvas  # noqa: E402

DATA = HERE.parent / "tests" / "data"
LINES = [
    Line("主軸ユニットの点検手順", 1),
    Line("対象: ㈱髙橋製作所の①号機～③号機、主軸回転数 1200rpm～1500rpm、軸受温度 60℃以下、すきま 0.02㎜以下。"),
    Line("1 始業前の確認", 2),
    *(
        Line(
            f"第{number}項では、Spindle Unit の振動値を確認し、前回の記録と比べて大きく変わっていないことを確かめます。"
            * 2
        )
        for number in range(1, 16)
    ),
    Line("・冷却水の量"),
    Line("・切りくずの詰まり"),
]


def main() -> None:
    document = Document("wrapped", LINES)
    DATA.mkdir(exist_ok=True)
    (DATA / "wrapped.pdf").write_bytes(pdf(document))
    (DATA / "wrapped.txt").write_text(document.text, encoding="utf-8", newline="\n")
    encryption = StandardEncryption("secret", ownerPassword="owner", strength=128)
    canvas = Canvas(str(DATA / "encrypted.pdf"), pagesize=A5, invariant=1, encrypt=encryption)
    canvas.setFont(FONT, 12)
    canvas.drawString(50, 500, "社外秘")
    canvas.save()
    canvas = Canvas(str(DATA / "scan.pdf"), pagesize=A5, invariant=1)
    canvas.rect(50, 300, 200, 100, fill=1)  # ink without text, as a scanned page has it
    canvas.save()


if __name__ == "__main__":
    main()
