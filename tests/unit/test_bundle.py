"""`rengo bundle`: hash-locked wheels, a bill of materials and checksums that say what is there."""

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from clients import bundle
from federation.output import OutputNotWritable


def make_wheel(folder: Path, name: str, version: str, *metadata: str) -> Path:
    """A wheel with one module."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *metadata, ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle of two wheels, of which the first needs the second."""
    wheels = tmp_path / "bundle" / "wheels"
    needs = "Requires-Dist: buhin>=2", "Requires-Dist: other; extra == 'x'"
    make_wheel(wheels, "kikai", "1.0", "License-Expression: MIT", *needs)
    make_wheel(wheels, "buhin", "2.1", "Classifier: License :: OSI Approved :: BSD License", "Author: 鈴木")
    bundle.describe(tmp_path / "bundle")
    return tmp_path / "bundle"


def install(folder: Path, target: Path) -> subprocess.CompletedProcess[str]:
    offline = ("--no-index", "--find-links", str(folder / "wheels"), "--require-hashes")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--isolated", "--target", str(target), *offline]
    return subprocess.run(
        [*command, "-r", str(folder / "requirements.txt")], capture_output=True, text=True, cwd=target.parent
    )


def test_pip_installs_it_without_an_index_by_hash(folder: Path, tmp_path: Path) -> None:
    done = install(folder, tmp_path / "installed")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "installed" / "buhin.py").read_text() == "VERSION = '2.1'\n"


def test_pip_refuses_a_wheel_that_was_exchanged(folder: Path, tmp_path: Path) -> None:
    make_wheel(folder / "wheels", "buhin", "2.1", "Summary: not the one")
    done = install(folder, tmp_path / "installed")
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_the_checksums_are_of_every_file(folder: Path) -> None:
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"SHA256SUMS"}
    assert set(listed) == there
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest for name, digest in listed.items())


def test_the_bill_of_materials_names_versions_licences_hashes_and_who_needs_whom(folder: Path) -> None:
    bill = json.loads((folder / "sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    components = {component["name"]: component for component in bill["components"]}
    assert components["kikai"]["purl"] == "pkg:pypi/kikai@1.0"
    assert components["kikai"]["licenses"] == [{"license": {"name": "MIT"}}]
    assert components["buhin"]["licenses"] == [{"license": {"name": "BSD License"}}]
    wheel = (folder / "wheels" / "buhin-2.1-py3-none-any.whl").read_bytes()
    assert components["buhin"]["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(wheel).hexdigest()}]
    needs = {entry["ref"]: entry["dependsOn"] for entry in bill["dependencies"]}
    assert needs["pkg:pypi/kikai@1.0"] == ["pkg:pypi/buhin@2.1"]


def test_what_is_asked_for_is_what_is_installed_with_all_that_it_needs() -> None:
    from importlib.metadata import version

    asked = bundle.pinned("httpx")
    assert asked["httpx"] == f"httpx=={version('httpx')}"
    assert {"anyio", "certifi", "httpcore", "h11", "idna"} <= set(asked)
    assert "socksio" not in asked  # of an extra that nobody asked for


def test_a_version_that_does_not_fit_what_asks_for_it_is_named() -> None:
    with pytest.raises(bundle.NotInstalled, match=r"httpx<0\.1"):
        bundle.pinned("httpx<0.1")


def test_a_folder_with_something_in_it_is_left_alone(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    with pytest.raises(bundle.BundleFolderTaken):
        bundle.main([str(folder)], "en")
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("place", ["/proc/bundle", "/dev/null"])
def test_a_place_that_takes_no_folder_is_told_before_anything_is_fetched(place: str) -> None:
    with pytest.raises(OutputNotWritable, match=place) as caught:
        bundle.main([place], "en")
    assert caught.value.exit_code == 7


@pytest.mark.slow
def test_the_whole_installation_is_bundled_and_installs(tmp_path: Path) -> None:
    """Asks the package index, and takes minutes."""
    bundle.make(tmp_path / "bundle", bundle.pinned("rengo"))
    done = install(tmp_path / "bundle", tmp_path / "installed")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "installed" / "federation" / "main.py").exists()
