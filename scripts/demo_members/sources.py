"""Where the members' material comes from: Debian packages and one wheel, each pinned by version and SHA-256."""

import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple


class Package(NamedTuple):
    """A Debian package (name=version), pinned, and where in it the Japanese pages are."""

    name: str
    sha256: str
    root: str


APACHE = Package(
    "apache2-doc=2.4.68-1~deb12u1",
    "cee8fe80ffb5de2744cd690c3d795b489e43a1c44c4e3a634c521642f22d7835",
    "usr/share/doc/apache2-doc/manual/ja",
)
HANDBOOK = Package(
    "debian-handbook=11.20220922",
    "3d5dbeac1f1afc9c094eab9d0f701f6ecff99c4927d5a4794cf6c85678134faa",
    "usr/share/doc/debian-handbook/html/ja-JP",
)
OFFICE = Package(
    "libreoffice-help-ja=4:7.4.7-1+deb12u14",
    "7799ace9bfe0845771ed2499913e7f7e521318cf3727c007672e3b020f8eb7b9",
    "usr/share/libreoffice/help/ja/text",
)


WHEEL = "bibmon-1.2.0-py3-none-any.whl"
WHEEL_SHA256 = "a74717f9157c6e414f5d225c850bf68df2b3edc1ee7833cc0e99f2164066f397"
READINGS = "bibmon/real_process_data/real_process_data.csv"


def unpack(package: Package, debs: Path, scratch: Path) -> Path:
    """Fetch the package unless it is there, refuse any bytes but the pinned ones, and return its pages' root."""
    deb = debs / f"{package.name.replace('=', '_').replace(':', '%3a')}_all.deb"
    debs.mkdir(parents=True, exist_ok=True)
    if not deb.exists() and subprocess.run(["apt-get", "download", package.name], cwd=debs, check=False).returncode:
        remedy = f"Run `apt-get update`, or put {deb.name} from Debian's snapshot archive into --cache."
        raise SystemExit(f"{package.name} cannot be had. {remedy}")
    check(deb, package.sha256)
    subprocess.run(["dpkg-deb", "-x", str(deb), str(scratch / deb.stem)], check=True)
    return scratch / deb.stem / package.root


def readings(cache: Path) -> tuple[list[str], list[list[str]]]:
    """The plant's (tags, rows): a row is its time and a cell a tag. The wheel is read as an archive, never imported."""
    wheel = cache / WHEEL
    if not wheel.exists():
        name, version = WHEEL.split("-")[:2]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(cache)]
        subprocess.run([*command, f"{name}=={version}"], check=True)
    check(wheel, WHEEL_SHA256)
    with zipfile.ZipFile(wheel) as archive:
        rows = list(csv.reader(io.StringIO(archive.read(READINGS).decode("utf-8"))))
    return rows[0][1:], rows[1:]


def check(file: Path, sha256: str) -> None:
    """Refuse any bytes but the pinned ones."""
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != sha256:
        raise SystemExit(f"{file.name} is not the pinned file: SHA-256 {found}, wanted {sha256}. Delete it.")
