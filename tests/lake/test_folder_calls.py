"""Folders that lack what disks have: shares, mounted buckets, memory cards. Commits stay exclusive, or are refused."""

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from appstream_export.errors import ConfigurationError
from appstream_export.feeds.generations import GenerationStore
from appstream_export.lake.storage import folder_calls
from appstream_export.lake.storage.factory import probe_location
from appstream_export.lake.storage.folder_calls import FolderCalls
from appstream_export.lake.storage.local import LocalStore
from tests.lake.lakes import A, Lake, builder, ok


class Poor(FolderCalls):
    """The calls of a file system that refuses some of them, each with its errno."""

    def __init__(self, name: str, refused: dict[str, int]) -> None:
        self.name, self.refused = name, refused

    def __getattribute__(self, name: str) -> Any:
        """Refuse what is refused."""
        number = object.__getattribute__(self, "refused").get(name)
        return super().__getattribute__(name) if number is None else _refuse(number)

    def get_filesystem_name(self, folder: Path) -> str:
        """As the machine's list of mounts would have it."""
        del folder
        return self.name


def _refuse(number: int) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


EXFAT = Poor("exfat", {"create_link": errno.EPERM, "set_mode": errno.EPERM, "symlink": errno.EPERM})
NO_FLUSH = Poor("nfs4", {"sync_folder": errno.EINVAL})
SMB = Poor("cifs", {"create_link": errno.EOPNOTSUPP, "sync_folder": errno.EINVAL, "symlink": errno.EOPNOTSUPP})
GCSFUSE = Poor(
    "fuse.gcsfuse", {"create_link": errno.ENOSYS, "rename_if_absent": errno.EINVAL, "sync_folder": errno.ENOTSUP}
)
OLD_KERNEL = Poor("vfat", {"create_link": errno.EPERM, "rename_if_absent": errno.ENOSYS})


def lake_on(place: Path, calls: FolderCalls) -> Lake:
    """A lake in a folder of that kind."""
    place.mkdir()
    lake = Lake(place)
    lake.store = LocalStore(place, calls=calls)
    return lake


@pytest.mark.parametrize("calls", [EXFAT, NO_FLUSH], ids=lambda calls: calls.name)
def test_a_snapshot_its_catalog_and_its_pointer_land_where_exclusive_creation_is_safe(
    tmp_path: Path, calls: FolderCalls
) -> None:
    lake = lake_on(tmp_path / "w", calls)
    lake.commit(ok(A, builder("a")))
    lake.publish()
    feeds = GenerationStore(lake.store, file_mode=0o600, create=True)
    feeds.store.symlink("v1/latest", "generations/x")

    assert lake.names() == ["a"]
    assert (tmp_path / "w/feeds/v1/latest").is_symlink() == (calls is NO_FLUSH)
    assert not [*tmp_path.rglob(".tmp-*")]


@pytest.mark.parametrize("calls", [FolderCalls(), EXFAT], ids=["links", "renames"])
def test_of_many_that_create_one_file_a_single_one_does_and_its_content_is_whole(
    tmp_path: Path, calls: FolderCalls
) -> None:
    store = LocalStore(tmp_path, calls=calls)
    contents = [f"{number}".encode() * 10_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        created = [*pool.map(lambda content: store.put_if_absent("commits/1", content), contents)]

    assert created.count(True) == 1
    assert store.read_bytes("commits/1") == contents[created.index(True)]
    assert [file.name for file in (tmp_path / "commits").iterdir()] == ["1"]


@pytest.mark.parametrize("calls", [SMB, GCSFUSE, OLD_KERNEL], ids=lambda calls: calls.name)
def test_where_a_commit_cannot_be_exclusive_it_is_refused_before_anything_else(
    tmp_path: Path, calls: FolderCalls
) -> None:
    with pytest.raises(ConfigurationError, match="two runs at once would overwrite each other here") as refused:
        probe_location(str(tmp_path / "not there yet"), calls=calls)
    with pytest.raises(OSError, match="two runs at once would overwrite each other here"):
        LocalStore(tmp_path, calls=calls).put_if_absent("commits/1", b"{}")

    assert refused.value.fix == folder_calls._CHOOSE
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_what_a_folder_lacks_is_said_and_no_trial_is_left(tmp_path: Path) -> None:
    assert probe_location(str(tmp_path)) == []
    assert probe_location(str(tmp_path), calls=EXFAT) == [
        f"{tmp_path} {folder_calls.NO_MODES}", f"{tmp_path} {folder_calls.NO_LINKS}",
    ]  # fmt: skip
    assert probe_location(str(tmp_path), calls=NO_FLUSH) == [f"{tmp_path} {folder_calls.NO_SYNC}"]
    assert [*tmp_path.iterdir()] == []


def test_a_share_that_only_pretends_to_be_exclusive_is_found(tmp_path: Path) -> None:
    class Replacing(FolderCalls):
        def create_link(self, source: Path, target: Path) -> None:
            source.replace(target)

    with pytest.raises(ConfigurationError, match="two runs at once would overwrite each other here"):
        probe_location(str(tmp_path), calls=Replacing())


def test_the_file_system_of_a_folder_is_found_among_the_mounts() -> None:
    assert FolderCalls().get_filesystem_name(Path("/proc")) == "proc"
