"""Bundle: the blueprint folders for workers on other machines, as a list of files with digests, and files in parts.

A worker on another machine stores files by digest, and accepts only files that match the list.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from derived_series.errors import Conflict, NotFound, StorageError

#: The most bytes of an image or file in one answer.
PART_BYTES = 16 << 20

_BLOCK_BYTES = 1 << 20
_LEFT_OUT = frozenset({"__pycache__"})


@dataclass(frozen=True, slots=True)
class BundledFile:
    """A file of a bundle. :param path: its path on this machine. :param size: in bytes."""

    path: Path
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """The contents of the blueprint folders when they were read.

    :param files: the files by the number of their folder and the path in it, such as ``0/ct.py``.
    :param folders: the number of folders.
    """

    files: Mapping[str, BundledFile]
    folders: int

    @classmethod
    def of(cls, folders: Iterable[str]) -> Bundle:
        """Read all files of the folders except hidden ones.

        :raises StorageError: one cannot be read; the message names it.
        """
        roots = [Path(folder) for folder in folders]
        try:
            files = {
                f"{number}/{path.relative_to(root).as_posix()}": _bundled(path)
                for number, root in enumerate(roots)
                for path in _files(root)
            }
        except OSError as error:
            raise StorageError(
                f"{error.filename} in the blueprint folders cannot be read: {error.strerror}",
                remedy="let Orthanc's user read it (chown), or take it away from there",
                transient=True,
            ) from error
        return cls(files, len(roots))

    @property
    def manifest(self) -> bytes:
        """The list, as JSON."""
        files = {name: [each.sha256, each.size] for name, each in sorted(self.files.items())}
        return json.dumps({"Folders": self.folders, "Files": files}, sort_keys=True).encode()

    @property
    def digest(self) -> str:
        """SHA-256 of the list."""
        return hashlib.sha256(self.manifest).hexdigest()

    def part(self, sha256: str, offset: int) -> bytes:
        """Read bytes of a file. :raises NotFound: there is no such file. :raises Conflict: it has changed."""
        for each in self.files.values():
            if each.sha256 == sha256:
                try:
                    content = part_of(each.path, offset)
                    size = each.path.stat().st_size
                except OSError as error:
                    raise Conflict(f"{each.path.name} cannot be read: {error}", remedy="restart Orthanc") from error
                if size != each.size:
                    raise Conflict(
                        f"{each.path.name} has changed since Orthanc has read it",
                        remedy="restart Orthanc: a changed blueprint folder is read at the start",
                    )
                return content
        raise NotFound(f"the blueprint folders have no file of the digest {sha256[:12]}")


def part_of(path: Path, offset: int) -> bytes:
    """Read up to ``PART_BYTES`` of a file."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(PART_BYTES)


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if path.is_file() and not any(part in _LEFT_OUT or part.startswith(".") for part in parts):
            yield path


def _bundled(path: Path) -> BundledFile:
    return BundledFile(path, sha256_of(path), path.stat().st_size)


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
