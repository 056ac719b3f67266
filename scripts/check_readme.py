"""README.md and README.ja.md say the same: the same headings by level, the same code blocks, links and pictures.

Prose cannot be compared by a script; what a reader types, clicks and sees can.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAIRS = (("README.md", "README.ja.md"),)


def skeleton(text: str) -> dict[str, list[str]]:
    """What has to be alike in two languages. Comments in code blocks may be translated."""
    blocks = re.findall(r"^```.*?^```", text, flags=re.M | re.S)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    links = re.findall(r"\]\(([^)]+)\)", prose)
    return {
        "headings": [match.group(1) for match in re.finditer(r"^(#+) ", prose, flags=re.M)],
        "code blocks": ["\n".join(re.sub(r"\s+#.*$", "", line) for line in block.splitlines()) for block in blocks],
        # A link within the page names its heading, which is translated.
        "links": ["#" if link[0] == "#" else link for link in links if not link.startswith("README")],
    }


def differences(english: str, japanese: str) -> list[str]:
    """One line for each kind of thing that differs."""
    found = []
    left, right = skeleton(english), skeleton(japanese)
    for kind in left:
        if left[kind] != right[kind]:
            pairs = zip([*left[kind], "(nothing)"], [*right[kind], "(nothing)"], strict=False)
            first = next((f"{a!r} against {b!r}" for a, b in pairs if a != b), "one has more")
            found.append(f"{kind} differ: {first}")
    return found


def main() -> int:
    """0 when every pair is parallel."""
    wrong = 0
    for english, japanese in PAIRS:
        texts = [(ROOT / name).read_text(encoding="utf-8") for name in (english, japanese)]
        for line in differences(*texts):
            print(f"check_readme: {english} and {japanese}: {line}")
            wrong += 1
    if not wrong:
        print("check_readme: both languages are parallel")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
