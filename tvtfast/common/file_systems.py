"""Which file systems several machines share."""

from __future__ import annotations

import os

import psutil

_SHARED = {
    "9p",
    "afpfs",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "glusterfs",
    "gpfs",
    "lustre",
    "nfs",
    "nfs4",
    "orangefs",
    "pvfs2",
    "smb2",
    "smb3",
    "smbfs",
    "virtiofs",
    "webdav",
}
"""Types of file systems that other machines may have mounted, too."""
_USERSPACE = "fuse."
"""How the types of file systems in user space begin, such as ``fuse.sshfs``; nearly all of them
reach over a network."""


def shared_file_system(path: str | os.PathLike[str]) -> str | None:
    """The type of the file system that a path lies on, where other machines may share it; ``None``
    where they do not.

    The type is that of the mount point nearest to the path, as the system lists it.
    """
    real = os.path.realpath(path)
    nearest, kind = "", ""
    for one in psutil.disk_partitions(all=True):
        if len(one.mountpoint) >= len(nearest) and _lies_in(real, one.mountpoint):
            nearest = one.mountpoint
            kind = "remote" if "remote" in one.opts.split(",") else one.fstype.lower()
    shared = kind in _SHARED or kind == "remote" or kind.startswith(_USERSPACE)
    return kind if shared else None


def _lies_in(path: str, folder: str) -> bool:
    try:
        return os.path.commonpath([path, folder]) == os.path.normpath(folder)
    except ValueError:  # another drive
        return False
