"""`rengo member doctor` on the machine: state folder, memory, terminal, versions, policy, model, data, speed."""

import io
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from clients import state_folder
from clients.doctor import machine
from clients.doctor.check import Check, failed, fine, table, worst
from clients.doctor.machine import FlowerDiffers, MemoryTooSmall
from clients.ingest import FolderUnreachable
from clients.loading import DEMO_BASE
from clients.policy_file import RefusedByPolicy
from clients.state_folder import DiskNearlyFull, NotWritable, OpenToOthers, StateOnNetwork
from federation.errors import DataFolderInvalid, ModelMismatch
from federation.registry import Standing
from tests.unit.proxies import PROXIES
from tests.unit.site import MEMBERS, Consortium, Site, free_port, three_sites


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Consortium, list[Site]]]:
    with three_sites(tmp_path_factory.mktemp("点検")) as made:
        yield made


class TestStateFolder:
    MOUNTS = (
        "/dev/sda1 / ext4 rw 0 0\n"
        "srv:/home /mnt/home nfs4 rw 0 0\n"
        "//srv/share /mnt/共有\\040フォルダー cifs rw 0 0\n"
        "user@host: /mnt/ssh fuse.sshfs rw 0 0\n"
        "tmpfs /mnt/home/local tmpfs rw 0 0\n"
        "rclone: /mnt/cloud fuse.rclone rw 0 0\n"
    )

    @pytest.fixture
    def mounts(self, tmp_path: Path) -> Path:
        (tmp_path / "mounts").write_text(self.MOUNTS, encoding="utf-8")
        return tmp_path / "mounts"

    @pytest.mark.parametrize(
        ("path", "kind", "mount"),
        [
            ("/mnt/home/rengo", "nfs4", "/mnt/home"),
            ("/mnt/共有 フォルダー/rengo", "cifs", "/mnt/共有 フォルダー"),
            ("/mnt/ssh", "fuse.sshfs", "/mnt/ssh"),
            ("/mnt/cloud/a/b", "fuse.rclone", "/mnt/cloud"),
        ],
    )
    def test_on_a_network_is_refused(self, mounts: Path, path: str, kind: str, mount: str) -> None:
        with pytest.raises(StateOnNetwork) as caught:
            state_folder.require_local(Path(path), mounts)
        assert (caught.value.facts["kind"], caught.value.facts["mount"]) == (kind, Path(mount))
        assert caught.value.exit_code == 7

    @pytest.mark.parametrize("path", ["/var/lib/rengo", "/mnt/home/local/rengo", "/mnt/homes"])
    def test_on_a_local_disk_is_not(self, mounts: Path, path: str) -> None:
        state_folder.require_local(Path(path), mounts)

    def test_of_this_machine_is_known(self, tmp_path: Path) -> None:
        kind, mount = state_folder.file_system(tmp_path)
        assert kind
        assert tmp_path.resolve().is_relative_to(mount)

    def test_that_cannot_be_written_is_7(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(NotWritable) as caught:
            state_folder.require_writable(tmp_path / "file")
        assert caught.value.exit_code == 7

    def test_that_is_not_there_yet_is_judged_by_where_it_will_be(self, tmp_path: Path) -> None:
        state_folder.require_writable(tmp_path / "a" / "b")
        assert not (tmp_path / "a").exists()

    def test_on_a_disk_without_room_is_7(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(state_folder, "LEAST_BYTES", 1 << 60)
        with pytest.raises(DiskNearlyFull, match="MiB are free") as caught:
            state_folder.require_room(tmp_path)
        assert caught.value.exit_code == 7

    @pytest.mark.parametrize("name", ["keys", "keys/node.key"])
    def test_that_others_can_read_is_4(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "keys").mkdir(mode=0o700)
        (tmp_path / "keys" / "node.key").touch(mode=0o600)
        state_folder.require_private(tmp_path)
        (tmp_path / name).chmod(0o750)
        with pytest.raises(OpenToOthers, match="chmod -R go=") as caught:
            state_folder.require_private(tmp_path)
        assert caught.value.exit_code == 4


@pytest.mark.parametrize(("encoding", "result"), [("utf-8", "ok"), ("cp932", "warning"), ("ascii", "warning")])
def test_a_terminal_is_judged_by_its_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str, result: str) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    assert machine.terminal().result == result


class TestVersions:
    STANDING = Standing(b"", b"", b"", "", 0, "9.9.9")

    def test_of_flower_is_the_one_that_is_pinned(self) -> None:
        project = tomllib.loads((Path(machine.__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
        (pinned,) = [name for name in project["project"]["dependencies"] if name.startswith("flwr")]
        assert pinned == f"flwr>={machine.FLOWER.rstrip('.')},<1.42"
        assert machine.versions(None).result == "ok"

    def test_that_differ_are_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert machine.versions(self.STANDING).result == "warning"
        monkeypatch.setattr(machine, "version", lambda name: "1.42.0")
        with pytest.raises(FlowerDiffers, match=r"flwr==1\.41") as caught:
            machine.versions(None)
        assert caught.value.exit_code == 3


class TestSite:
    def test_before_anything_is_approved_gets_a_whole_report_and_an_eta(
        self, federation: tuple[Consortium, list[Site]]
    ) -> None:
        made, (site, *_) = federation
        made.propose("job=点検")
        facts = site.run("doctor")
        assert facts["exit_code"] == 0
        rows = {check["check"]: check for check in facts["checks"]}
        assert list(rows) == [
            *("state folder", "disk", "terminal", "name server", "proxy", "TLS", "clock", "carrier", "coordinator"),
            *("versions", "policy", "memory", "base model", "parser", "data", "training"),
        ]
        assert "no GPU is used: a round takes about" in rows["training"]["found"]
        assert "15 documents: html cp932 2, html utf-8 2, text cp932 3, text utf-8 8" in rows["data"]["found"]
        assert not site.home.file("approvals.json").exists()

    def test_in_japanese_names_every_check(self, federation: tuple[Consortium, list[Site]]) -> None:
        _, (site, *_) = federation
        text = site.said("doctor", "--quick")
        assert "状態フォルダー   正常" in text
        assert "時計             正常" in text

    def test_behind_a_dead_proxy_is_5_and_what_lies_behind_it_is_not_checked(
        self, federation: tuple[Consortium, list[Site]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, (site, *_) = federation
        for name in PROXIES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
        rows = {check["check"]: check for check in site.run("doctor", "--quick", exit_code=5)["checks"]}
        assert rows["proxy"]["result"] == "failed"
        behind = ("TLS", "clock", "carrier", "coordinator")
        assert [rows[name]["result"] for name in behind] == ["not checked"] * 4
        assert [rows[name]["found"] for name in behind] == ["mend first: proxy"] * 4
        assert list(rows).index("coordinator") < list(rows).index("versions")
        assert "事務局           未確認  先にプロキシを直してください" in site.said("doctor", "--quick")

    def test_beyond_the_policy_is_11(self, federation: tuple[Consortium, list[Site]]) -> None:
        made, (_, site, _) = federation
        made.propose("job=点検")
        site.set_policy(rounds_per_plan="1")
        assert site.run("doctor", "--quick", exit_code=11)["exit_code"] == 11
        site.set_policy(rounds_per_plan="200")

    def test_with_another_base_model_is_3_with_both_hashes(
        self, federation: tuple[Consortium, list[Site]], tmp_path: Path
    ) -> None:
        made, (_, _, site) = federation
        plan = made.propose("job=点検")
        shutil.copytree(DEMO_BASE, tmp_path / "base")
        config = tmp_path / "base" / "config.json"
        config.write_text(config.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        toml = site.home.file("member.toml")
        before = toml.read_text(encoding="utf-8")
        toml.write_text(before.replace('"demo"    #', f'"{tmp_path / "base"}" #'), encoding="utf-8")
        try:
            with pytest.raises(ModelMismatch, match=plan.model.sha256):
                machine.model(site.home, plan)
            rows = {check["check"]: check for check in site.run("doctor", exit_code=3)["checks"]}
            assert rows["base model"]["exit_code"] == 3
            assert "training" not in rows
        finally:
            toml.write_text(before, encoding="utf-8")

    def test_with_too_little_memory_is_3(self, federation: tuple[Consortium, list[Site]], tmp_path: Path) -> None:
        _, (site, *_) = federation
        (tmp_path / "meminfo").write_text("MemTotal:  1000000 kB\nMemAvailable:   500000 kB\n")
        with pytest.raises(MemoryTooSmall, match="488 MiB of memory") as caught:
            machine.memory(site.home, tmp_path / "meminfo")
        assert caught.value.exit_code == 3
        assert machine.memory(site.home, tmp_path / "nothing").result == "warning"

    def test_shows_what_of_the_data_is_set_aside_and_fails_without_any(
        self, federation: tuple[Consortium, list[Site]], tmp_path: Path
    ) -> None:
        _, (site, *_) = federation
        toml = site.home.file("member.toml")
        before = toml.read_text(encoding="utf-8")
        data = tmp_path / "data"
        shutil.copytree(MEMBERS / "akatombo-seiki", data)
        (data / "図面.dwg").write_bytes(b"AC1032")
        try:
            toml.write_text(before.replace(str(MEMBERS / "akatombo-seiki"), str(data)), encoding="utf-8")
            check = machine.data(site.home)
            assert check.result == "warning"
            assert "除外 1 件: 図面.dwg: 対応する形式" in check.found["ja"]
            shutil.rmtree(data)
            data.mkdir()
            with pytest.raises(FolderUnreachable, match="it is empty") as unreachable:
                machine.data(site.home)
            assert unreachable.value.exit_code == 8
            (empty := tmp_path / "empty").mkdir()
            toml.write_text(before.replace(str(MEMBERS / "akatombo-seiki"), str(empty)), encoding="utf-8")
            with pytest.raises(DataFolderInvalid) as caught:
                machine.data(site.home)
            assert caught.value.exit_code == 8
        finally:
            toml.write_text(before, encoding="utf-8")

    def test_that_the_coordinator_does_not_know_is_4(self, federation: tuple[Consortium, list[Site]]) -> None:
        made, _ = federation
        site = made.join("hanafubuki-insatsu")
        with made.registry() as registry:
            registry.revoke("hanafubuki-insatsu")
        rows = {check["check"]: check for check in site.run("doctor", "--quick", exit_code=4)["checks"]}
        assert "is not a member of this consortium" in rows["clock"]["found"]


def test_the_exit_code_is_that_of_the_worst() -> None:
    def check(code: int) -> Check:
        return replace(fine("disk", "", ""), exit_code=code)

    assert worst([]) == worst([check(0)]) == 0
    assert worst([check(3), check(5), check(11)]) == 5
    assert worst([check(9), check(3)]) == 3
    assert {worst([check(code)]) for code in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 70)} == {*range(2, 12), 70}


def test_the_table_says_how_to_mend_below_what_was_found() -> None:
    checks = [
        fine("disk", "1 GiB free", "空き 1 GiB"),
        failed("policy", RefusedByPolicy(detail="no", detail_ja="不可")),
        Check("data", {"en": "x", "ja": "除外"}, {"en": "look", "ja": "確認"}, warns=True),
    ]
    assert table(checks, "ja").splitlines() == [
        "ディスク      正常  空き 1 GiB",
        "社内許可条件  異常  社内許可条件により許可されません: 不可。",
        "データ        注意  除外",
        "                    -> 確認",
    ]
    assert table(checks, "en").splitlines()[1] == "policy  FAILED   This site's policy does not permit it: no."
