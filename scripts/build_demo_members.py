# /// script
# requires-python = ">=3.11"
# dependencies = ["reportlab==5.1.0"]  # beyond what rengo itself needs
# ///
"""Build the demo's thirty members: Japanese documentation that stands in for private manuals, and a plant's real logs.

Why: a demo needs texts that may be published, and that the members do not share. Three Debian packages give both. Each
is pinned by version and SHA-256, so that the same bytes come out anywhere. None of it is a machine-tool manual. Six
members have sensor logs too: readings of a real plant, anonymised, that the Python package bibmon carries.

How: unpack, keep the Japanese text of each page's main content (one paragraph, list item or table row a line), cut long
pages at headings, drop whatever an earlier document has already said, and deal what is left to the members, domain by
domain (neighbouring pages to the same member, so that the members differ as real ones do). Each member keeps its
documents in formats of its own: HTML, PDF, DOCX and TXT, a third of the text files in CP932, half of them with Japanese
names. At last everything is read back by `clients.ingest` and compared with what was put in.

Left out: groonga-doc, whose documentation is under LGPL-2.1.

Run, on Debian 12 after `apt-get update`, in the project's environment; put the first table into demo/LICENSES.md:

    .venv/bin/pip install reportlab==5.1.0
    .venv/bin/python scripts/build_demo_members.py --cache ~/demo-debs
"""

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # to run in any environment, whether rengo is installed there or not

from demo_members import formats, logs, sources  # noqa: E402
from demo_members.members import DOMAINS, Domain, File, Member, deal, documents_of, laid_out  # noqa: E402
from demo_members.pages import read_package  # noqa: E402
from demo_members.paper import pdf  # noqa: E402
from demo_members.texts import Document, shared_with, unsaid  # noqa: E402
from demo_members.verify import Check  # noqa: E402

MEMBERS = HERE.parent / "aggregator" / "simulate" / "demo" / "members"
Readings = tuple[list[str], list[list[str]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, help="folder that keeps what is downloaded (default: a temporary one)")
    parser.add_argument("--out", type=Path, default=MEMBERS, help="folder of the members' folders")
    parser.add_argument("--against", type=Path, help="the base's corpus.json: fail if a document shares a span with it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cache = args.cache or Path(scratch)
        cache.mkdir(parents=True, exist_ok=True)
        dealt = list(dealt_documents(cache, Path(scratch)))
        readings = sources.readings(cache)
    if args.against:
        shared = shared_with([document for _, _, share in dealt for document in share], args.against)
        print(f"{len(shared)} line(s) share a span with the base's corpus", *shared, sep="\n", file=sys.stderr)
    check = Check()
    print("| member | domain | package | files | characters | formats | sensor log |\n|---|---|---|---:|---:|---|---|")
    for domain, member, share in dealt:
        print(built(domain, member, share, readings, args.out / member.name, check))
    print(f"\n{check.table()}\n")
    if check.faults or (args.against and shared):
        raise SystemExit("\n".join(["The folders are not as they should be:", *check.faults]))


def dealt_documents(cache: Path, scratch: Path) -> Iterator[tuple[Domain, Member, list[Document]]]:
    """Each member with its domain and documents. Packages are read whole, so that boilerplate can be counted."""
    packages = dict.fromkeys(domain.package for domain in DOMAINS)
    left = {package: read_package(sources.unpack(package, cache, scratch)) for package in packages}
    seen: set[bytes] = set()
    for domain in DOMAINS:
        documents = unsaid(documents_of(domain, left[domain.package]), seen)
        yield from ((domain, member, share) for member, share in deal(documents, domain.members))


def built(domain: Domain, member: Member, share: list[Document], readings: Readings, folder: Path, check: Check) -> str:
    """Write one member's folder, read it back, and say what it holds as a row of the table."""
    shutil.rmtree(folder, ignore_errors=True)  # no document of an earlier build may stay behind
    texts = {}
    for file in laid_out(member, share):
        written(folder / f"{file.name}.{file.suffix}", content(file))
        texts[f"{file.name}.{file.suffix}"] = file.document.text
    log_rows = {}
    for name, data, rows in logs.csv_files(member.name, *readings):
        written(folder / name, data)
        log_rows[name] = rows
    reading = check.add(folder, texts, log_rows)
    suffixes = Counter(document.name.rpartition(".")[2] for document in reading.documents)
    kinds = ", ".join(f"{count} {suffix.upper()}" for suffix, count in sorted(suffixes.items()))
    characters = sum(len(document.text) for document in reading.documents)
    logged = sum(len(document.text) for document in reading.documents if document.name in log_rows)
    tags = logs.LOGGINGS[member.name].tags.replace("tag", "") if log_rows else ""
    log = f"tags {tags}: {100 * logged / characters:.0f} % of it" if log_rows else "-"
    package = domain.package.name.partition("=")[0]
    return (
        f"| {member.name} | {domain.name} | {package} | {len(reading.documents)} | {characters:,} | {kinds} | {log} |"
    )


def content(file: File) -> bytes:
    """The file's bytes."""
    if file.suffix == "pdf":
        return pdf(file.document)
    if file.suffix == "docx":
        return formats.docx(file.document)
    return {"txt": formats.txt, "html": formats.html}[file.suffix](file.document, file.cp932)


def written(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


if __name__ == "__main__":
    main()
