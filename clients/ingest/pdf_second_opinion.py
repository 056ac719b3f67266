"""What pdfminer.six reads of a PDF, where pdfium's text is none. It looks at fonts in another way, and takes ten times
as long."""

import io
import logging
from itertools import pairwise

from pdfminer.high_level import extract_text
from pdfminer.layout import LAParams

from clients.ingest.pdf_paragraphs import ITEM
from clients.ingest.pdf_rows import glued, width

# It tells on stderr what it stumbles over, with pieces of the file; the file's reason to be set aside is enough.
logging.getLogger("pdfminer").setLevel(logging.CRITICAL)


def text_of(data: bytes, most_pages: int) -> str:
    """Its text, long lines joined to what follows them; empty if it gives up."""
    try:
        text = extract_text(io.BytesIO(data), maxpages=most_pages, laparams=LAParams(detect_vertical=True))
    except Exception:  # pdfminer raises whatever a damaged file leads it into; then it has no opinion
        return ""
    lines = [line.strip("\n\f") for line in text.splitlines() if line.strip()]
    widest = max(map(width, lines), default=0)
    parts = [lines[:1]]
    for above, line in pairwise(lines):
        # There are no places to go by here. Latin letters are narrower than half a character, hence the share.
        if width(above) > 0.85 * widest and not above.rstrip().endswith(("。", ":", "：")) and not ITEM.match(line):
            parts[-1][-1:] = glued(parts[-1][-1], line)
        else:
            parts.append([line])
    return "".join("".join(part).rstrip() + "\n" for part in parts if part)
