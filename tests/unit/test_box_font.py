"""The font that PDFs are read with is the one that its script makes."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "scripts"))
import make_box_font


def test_the_script_makes_the_font_that_is_there() -> None:
    assert make_box_font.TARGET.read_bytes() == make_box_font.font()
