"""README and guides say the same in both languages: the same headings by level, code blocks, links and pictures.

Prose cannot be compared by a script; what a reader types, clicks and sees can.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAIRS = (
    ("README.md", "README.ja.md"),
    ("docs/member-guide.md", "docs/member-guide.ja.md"),
    ("docs/coordinator-guide.md", "docs/coordinator-guide.ja.md"),
)


def skeleton(text: str) -> dict[str, list[str]]:
    """What has to be alike in two languages. Comments in code blocks may be translated; blocks marked as text are what
    a program prints in the reader's language: only their place is compared."""
    text = re.sub(r"^```text$.*?^```", "```text\n```", text, flags=re.M | re.S)
    blocks = re.findall(r"^```.*?^```", text, flags=re.M | re.S)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    links = re.findall(r"\]\(([^)]+)\)", prose)
    return {
        "headings": [match.group(1) for match in re.finditer(r"^(#+) ", prose, flags=re.M)],
        "code blocks": ["\n".join(re.sub(r"\s+#.*$", "", line) for line in block.splitlines()) for block in blocks],
        # A page links to pages in its own language, and names headings, which are translated.
        "links": [re.sub("#.*", "#", link.replace(".ja.md", ".md")) for link in links],
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
