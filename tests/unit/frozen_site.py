"""A site of a demo member with documents, and a job whose text is frozen there."""

import shutil
from contextlib import closing
from pathlib import Path

from clients import extracted, manifest
from clients.freezing import frozen
from clients.home import Approval, Home, Settings
from clients.journal import Departure, Journal
from federation.plan import Plan
from federation.secagg.history import History
from tests.protocol.consortium import make_plan
from tests.unit.site import MEMBERS, Site

ID = "akatombo-seiki"
PLAN = make_plan((ID, "b", "c", "d"), rounds=3)


def make_site(tmp_path: Path) -> Site:
    """A joined site whose folder is a copy of a demo member's, with a marked file; nobody else is there."""
    data = tmp_path / "文書"
    shutil.copytree(MEMBERS / ID, data)
    (data / "社外秘").mkdir()
    (data / "社外秘" / "単価.txt").write_text("単価表", encoding="utf-8")
    home = Home(tmp_path / "member")
    home.create(Settings(ID, "https://127.0.0.1:1", str(data), "demo"), bytes(32), "PEM")
    home.note(Approval("2026-11-22T00:00:00+00:00", "approved", PLAN.digest().hex(), "", "sato", "suzuki", ""))
    Journal(home.file("journal.sqlite")).close()
    return Site(home.path)


def data_of(site: Site) -> Path:
    return site.home.settings().folders[0]


def freeze(site: Site, begin: bool = False, plan: Plan = PLAN) -> manifest.Manifest:
    """As a start does; with `begin`, the site then says its first word in the job."""
    with closing(Journal(site.home.file("journal.sqlite"))) as journal, extracted.opened(site.home) as texts:
        found = frozen(site.home, plan, journal, texts)
        if begin:
            row = Departure(plan.job, ("keys",), "host:1", 1, bytes(32), rounds="1", manifest=found.digest)
            journal.commit(History(keyed=(1, 1)), row)
        return manifest.of_job(site.home, plan.job, found.digest)


def texts_of(site: Site) -> list[str]:
    """What the job would train and be measured on, now."""
    with closing(Journal(site.home.file("journal.sqlite"))) as journal, extracted.opened(site.home) as texts:
        parts = frozen(site.home, PLAN, journal, texts).parts
        return [document.text for part in (parts.train, parts.validation, parts.test) for document in part]
