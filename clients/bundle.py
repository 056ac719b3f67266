"""`rengo bundle FOLDER`: an installation as wheels with hashes, for sites without a package index.

    wheels/            rengo and what it needs, in the versions that are installed here
    requirements.txt   each version with the SHA-256 of its wheel, for `pip install --require-hashes`
    sbom.cdx.json      the same as a CycloneDX 1.6 bill of materials
    SHA256SUMS         of all of these, for `sha256sum -c`

The machine that makes a bundle asks its package index for the wheels: a person asked for that. Nothing else in rengo
does. The bundle is for the same Python version and kind of machine.
"""

import argparse
import email.parser
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from federation.commands import Printer, Result, Verb, alone, option
from federation.errors import Language, RengoError
from federation.output import claimed, disk_errors

_NAME = "rengo"


class BundleFolderTaken(RengoError):
    """{path} is there already and not empty. Nothing was changed. Choose another folder."""

    ja = "{path} は既にあり、空ではありません。何も変更していません。別のフォルダーを指定してください。"
    exit_code = 2


class DownloadFailed(RengoError):
    """pip could not get the wheels: {detail}. Check the package index and HTTPS_PROXY, and run it again."""

    ja = "pip がパッケージを取得できません: {detail}。パッケージの取得元と HTTPS_PROXY を確認してください。"
    exit_code = 5


class NotInstalled(RengoError):
    """{name}, which rengo needs, is not installed here. Make the bundle from a whole installation."""

    ja = "rengo に必要な {name} がここにありません。完全にインストールした環境でバンドルを作成してください。"
    exit_code = 3


@dataclass(frozen=True)
class Wheel:
    """One wheel of a bundle, as its own metadata describes it. `requires`: canonical names of what it asks for, always
    or under a condition."""

    file: Path
    name: str
    version: str
    licence: str
    requires: tuple[str, ...]
    sha256: str


def main(argv: list[str], language: Language) -> int:
    """`rengo bundle`."""
    return alone(_VERB, argv, language)


def bundle(options: argparse.Namespace, printer: Printer) -> Result:
    """Fetch the wheels and write what belongs to them."""
    folder: Path = options.folder.absolute()
    with disk_errors(folder):
        if folder.is_dir() and any(folder.iterdir()):
            raise BundleFolderTaken(path=folder)
        with claimed(folder, chosen=True):
            wheels = make(folder, pinned(_NAME))
    size = sum(wheel.file.stat().st_size for wheel in wheels)
    words = {
        "en": f"{len(wheels)} wheels, {size / 1e6:.0f} MB, in {folder}. At the site, in the folder:\n{_INSTALL}",
        "ja": f"{folder} に {len(wheels)} 個のパッケージ（{size / 1e6:.0f} MB）を保存しました。"
        f"拠点では、このフォルダーで次を実行します:\n{_INSTALL}",
    }[printer.language]
    return Result({"folder": str(folder), "wheels": len(wheels), "bytes": size}, words)


_VERB = Verb(
    "bundle",
    bundle,
    {
        "en": "fetch what this installation consists of, as wheels with hashes (asks the package index)",
        "ja": "このインストール環境の構成物をハッシュ付きで取得（パッケージ取得元に接続します）",
    },
    "rengo bundle rengo-bundle",
    (option("folder", type=Path, en="a new folder", ja="新しいフォルダー"),),
)
_INSTALL = """  sha256sum -c SHA256SUMS
  python3 -m venv /opt/rengo
  /opt/rengo/bin/pip install --no-index --find-links wheels --require-hashes -r requirements.txt"""


def pinned(root: str) -> dict[str, str]:
    """Canonical name -> what pip is asked for: `root` and all that it needs here, in the installed versions; extras
    where a package asks for them. Raises NotInstalled."""
    found: dict[str, str] = {}
    waiting = [Requirement(root)]
    seen = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        try:
            installed = distribution(wanted.name)
        except PackageNotFoundError as error:
            raise NotInstalled(name=wanted.name) from error
        origin = json.loads(installed.read_text("direct_url.json") or "{}").get("url", "")
        # A checkout is built from where it is; what came from an index comes from there again.
        local = urlsplit(origin).scheme == "file" and "+" not in installed.version
        if not wanted.specifier.contains(installed.version, prereleases=True):
            raise NotInstalled(name=f"{wanted.name}{wanted.specifier}")
        found[name] = origin if local else f"{wanted.name}=={installed.version}"
        needed = [Requirement(text) for text in installed.requires or []]
        waiting += [each for each in needed if _applies(each, wanted.extras)]
    return dict(sorted(found.items()))


def make(folder: Path, requested: Mapping[str, str]) -> list[Wheel]:
    """The bundle of what is `requested` of pip, by canonical name. Raises DownloadFailed."""
    target = folder / "wheels"
    target.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(  # noqa: S603  # our own interpreter, versions that are installed here
        [*command, "--wheel-dir", str(target), *requested.values()], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise DownloadFailed(detail=(lines or ["pip failed"])[-1][:300])
    return describe(folder)


def describe(folder: Path) -> list[Wheel]:
    """Write requirements, bill of materials and sums for what is in `folder`/wheels."""
    wheels = [read_wheel(file) for file in sorted((folder / "wheels").glob("*.whl"))]
    (folder / "requirements.txt").write_text("".join(map(_requirement, wheels)), encoding="utf-8")
    bill = json.dumps(bill_of_materials(wheels), ensure_ascii=False, indent=1)
    (folder / "sbom.cdx.json").write_text(bill + "\n", encoding="utf-8")
    files = [*(wheel.file for wheel in wheels), folder / "requirements.txt", folder / "sbom.cdx.json"]
    sums = "".join(f"{_sha256(file)}  {file.relative_to(folder)}\n" for file in files)
    (folder / "SHA256SUMS").write_text(sums, encoding="utf-8")
    return wheels


def read_wheel(file: Path) -> Wheel:
    """A wheel as its METADATA says."""
    with zipfile.ZipFile(file) as archive:
        (path,) = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        metadata = email.parser.Parser().parsestr(archive.read(path).decode("utf-8"), headersonly=True)
    requires = sorted({canonicalize_name(Requirement(text).name) for text in metadata.get_all("Requires-Dist", [])})
    classified = [c.rpartition(" :: ")[2] for c in metadata.get_all("Classifier", []) if c.startswith("License ::")]
    # Some put the whole text into the field.
    stated = [metadata["License-Expression"], *classified, (metadata["License"] or "").partition("\n")[0]]
    licence = next(filter(None, stated), "")
    return Wheel(file, metadata["Name"], metadata["Version"], licence, tuple(requires), _sha256(file))


def bill_of_materials(wheels: Iterable[Wheel]) -> dict[str, Any]:
    """CycloneDX 1.6: what is in the bundle and what asks for what. rengo is the product, all others its components."""
    known: dict[str, Wheel] = {canonicalize_name(wheel.name): wheel for wheel in wheels}
    product = [_component(known[_NAME], "application")] if _NAME in known else []
    others = [_component(wheel, "library") for name, wheel in known.items() if name != _NAME]
    dependencies = [
        {"ref": _purl(wheel), "dependsOn": [_purl(known[name]) for name in wheel.requires if name in known]}
        for wheel in known.values()
    ]
    document = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}
    return document | {
        "metadata": {"component": product[0]} if product else {},
        "components": others,
        "dependencies": dependencies,
    }


def _component(wheel: Wheel, kind: str) -> dict[str, Any]:
    stated = {"licenses": [{"license": {"name": wheel.licence}}]} if wheel.licence else {}
    facts = {"type": kind, "bom-ref": _purl(wheel), "name": wheel.name, "version": wheel.version, "purl": _purl(wheel)}
    return facts | stated | {"hashes": [{"alg": "SHA-256", "content": wheel.sha256}]}


def _purl(wheel: Wheel) -> str:
    return f"pkg:pypi/{canonicalize_name(wheel.name)}@{wheel.version.replace('+', '%2B')}"


def _requirement(wheel: Wheel) -> str:
    return f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n"


def _applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    """Whether it is needed on this machine, with these extras of whoever asks."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
