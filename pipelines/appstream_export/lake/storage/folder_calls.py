"""System calls that some folders lack: network shares (SMB), mounted buckets (gcsfuse), memory cards (exFAT).

A commit must be exclusive and atomic: if two runs create the same manifest, one must fail, and readers must never see
half of it. A hard link ensures both everywhere. If a file system has no hard links, `renameat2` with RENAME_NOREPLACE
ensures both on local file systems, because the kernel checks and renames under one lock. On a share or a mounted bucket
the client checks and the server renames, so two machines could both succeed: such folders are refused.
"""

import ctypes
import errno
import os
from pathlib import Path

from appstream_export.lake.storage.base import FixableOSError

UNSUPPORTED = frozenset({errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY})
"""Errors by which file systems refuse a call that they do not support; each picks its own."""
EXCLUSIVE_RENAMES = frozenset({"vfat", "msdos", "exfat", "ntfs3"})
"""Local file systems without usable hard links, on which the kernel makes renames exclusive."""
_RENAME_NOREPLACE = 1
_AT_FDCWD = -100
_NO_COMMIT = "two runs at once would overwrite each other here: the folder has no hard links and no exclusive rename"
_CHOOSE = "choose a folder on a disk or on NFS, or s3://bucket/prefix (docs/operations.md: What a folder must offer)"
NO_MODES = "has no file modes: its mount decides who may read the warehouse, whatever file_mode says"
NO_SYNC = "cannot flush folders: a power cut may undo the newest snapshot"
NO_LINKS = "has no symbolic links: feeds/v1 has no `latest`, only current.json"


class FolderCalls:
    """The system calls. Tests override those that other file systems refuse."""

    def create_link(self, source: Path, target: Path) -> None:
        """Give a file a second name; raises FileExistsError if the name is taken."""
        os.link(source, target)

    def rename_if_absent(self, source: Path, target: Path) -> None:
        """Rename a file; raises FileExistsError if the new name is taken."""
        # Python has no function for this system call.
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "renameat2"):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(target))
        names = os.fsencode(source), os.fsencode(target)
        if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_NOREPLACE):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(target))

    def set_mode(self, place: int | Path, mode: int) -> None:
        """Set the mode of a file or folder."""
        os.chmod(place, mode)  # noqa: PTH101 - a Path has no handle

    def sync_folder(self, folder: Path) -> None:
        """Flush a folder, so that the names in it survive a power cut."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def symlink(self, place: Path, target: str) -> None:
        """Create a symbolic link."""
        place.symlink_to(target)

    def get_filesystem_name(self, folder: Path) -> str:
        """Return the name of a folder's file system, such as `exfat`; empty if it is unknown."""
        device = folder.stat().st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}"
        try:
            lines = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
        except OSError:  # not on Linux
            return ""
        # Before the dash, the third field is the device (major:minor); after it, the first is the file system.
        mounts = (line.partition(" - ") for line in lines)
        return next((after.split()[0] for before, _, after in mounts if before.split()[2] == wanted), "")


def is_unsupported(error: OSError) -> bool:
    """Return whether an error means that the file system does not support the call."""
    return error.errno in UNSUPPORTED


def create_exclusively(calls: FolderCalls, temporary: Path, place: Path) -> bool:
    """Give a finished file its name; return False if it is taken. Raises OSError if that cannot be exclusive."""
    try:
        calls.create_link(temporary, place)
    except FileExistsError:
        return False
    except OSError as error:
        if not is_unsupported(error):
            raise
        return _rename_exclusively(calls, temporary, place)
    return True


def build_no_commit_error(folder: Path) -> OSError:
    """Return the error for a folder in which no commit can be exclusive."""
    return FixableOSError(errno.ENOTSUP, _NO_COMMIT, str(folder), fix=_CHOOSE)


def _rename_exclusively(calls: FolderCalls, temporary: Path, place: Path) -> bool:
    refused = build_no_commit_error(place.parent)
    if calls.get_filesystem_name(place.parent) not in EXCLUSIVE_RENAMES:
        raise refused
    try:
        calls.rename_if_absent(temporary, place)
    except FileExistsError:
        return False
    except OSError as error:
        raise refused if is_unsupported(error) else error from error
    return True
