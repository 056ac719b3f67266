"""From a folder to the documents that are trained on: read, redacted, cleaned. Whatever trains, measures, previews,
samples or reports takes its documents from here, so that what a person is shown is what is trained on.

What is held out must not depend on what is changed here: `Document.origin` keeps hash and length of the text as
it was read, and `clients.splits` goes by them.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from clients.ingest import Document, Documents, Reading, read_documents
from clients.ingest.changes import Cleaning
from clients.ingest.cleaning import in_usual_forms, without_boilerplate, without_near_duplicates
from clients.ingest.pace import Progress, followed, untold
from clients.ingest.parser import Parser
from clients.ingest.personal.redact import Sighting, redacted
from clients.ingest.personal.settings import OFF, PersonalSettings


@dataclass(frozen=True)
class Prepared:
    """What a folder gives to train on. `sightings`: what was found of personal and secret data, in its own words."""

    reading: Reading
    sightings: tuple[Sighting, ...] = field(default=(), repr=False)


def prepared_documents(
    folder: Path,
    parser: Parser | None = None,
    permitted: Collection[str] = (),
    personal: PersonalSettings = OFF,
    unmarked: str = "",
    tell: Callable[[Progress], None] = untold,
) -> Prepared:
    """`read_documents`, then `prepared`. Raises as they do."""
    return prepared(read_documents(folder, parser, permitted, unmarked, tell), personal, tell)


def prepared(reading: Reading, personal: PersonalSettings, tell: Callable[[Progress], None] = untold) -> Prepared:
    """A reading with its documents redacted and cleaned, and the counts of both. `tell` hears how far that is."""

    def each(documents: Documents, step: str) -> Iterator[Document]:
        return followed(documents, step, lambda document: document.as_read.characters, tell)

    documents, forms = in_usual_forms(each(reading.documents, "cleaning"))
    redaction = redacted(each(documents, "masking"), personal)
    # Near-duplicates first: five copies of one document would make all of it boilerplate.
    documents, nearly_the_same = without_near_duplicates(redaction.documents, tell)
    documents, paragraphs, characters = without_boilerplate(documents, tell)
    aside = sorted((*reading.set_aside, *redaction.dropped, *nearly_the_same), key=lambda file: file.name)
    cleaning = Cleaning(forms, paragraphs, characters, len(nearly_the_same))
    changed = replace(
        reading,
        documents=documents,
        set_aside=tuple(aside),
        redactions=redaction.redactions,
        cleaning=cleaning,
    )
    return Prepared(changed, redaction.sightings)
