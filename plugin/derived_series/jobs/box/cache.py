"""BundleCache: blueprint folders on a worker's machine, files by digest and folders by the digest of their list."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from derived_series.errors import StorageError
from derived_series.jobs.box.file_lock import closing_descriptor, locked
from derived_series.jobs.remote.bundle import sha256_of

#: Fetches bytes of a file, by its digest, from an offset on.
Part = Callable[[str, int], bytes]

_KEPT_BUNDLES = 5

#: What the names of unfinished files and folders begin with.
_PART = "part-"


class BundleCache:
    """Keeps fetched blueprint folders for later jobs and later starts.

    Several workers may share it: one at a time fetches and removes, and none removes what another uses.

    :param folder: a folder to which nothing else writes.
    """

    def __init__(self, folder: Path):
        self._lock = folder / "lock"
        self._files = folder / "files"
        self._bundles = folder / "bundles"
        self._swapping = threading.Lock()
        self._used: int | None = None  # the lock of the folders that were asked for last
        for each in (self._files, self._bundles):
            each.mkdir(parents=True, exist_ok=True)
        if (lock := locked(self._lock, wait=False)) is not None:  # else what fetches now does it
            with closing_descriptor(lock):
                self._remove_parts()

    def folders(self, digest: str, manifest: Callable[[], bytes], part: Part) -> tuple[str, ...]:
        """The blueprint folders with a digest; missing files are fetched.

        :raises StorageError: what arrives does not match the digest.
        """
        place = self._bundles / digest
        if not self._use(place):
            with closing_descriptor(locked(self._lock)):
                if not self._use(place):  # another worker on this machine was not faster
                    self._remove_parts()
                    self._fill(place, digest, manifest(), part)
                    self._use(place)
                self._forget()
        count = json.loads((place / "manifest.json").read_bytes())["Folders"]
        return tuple(str(place / str(number)) for number in range(count))

    def _use(self, place: Path) -> bool:
        """Keep a bundle from being removed until another one is asked for; False if it is not there."""
        try:
            used = os.open(place / "manifest.json", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        fcntl.flock(used, fcntl.LOCK_SH)
        if os.fstat(used).st_nlink == 0:  # it was being removed
            os.close(used)
            return False
        os.utime(place)
        self._let_go(used)
        return True

    def close(self) -> None:
        """Let others remove what was asked for last."""
        self._let_go(None)

    def _let_go(self, used: int | None) -> None:
        with self._swapping:
            before, self._used = self._used, used
        if before is not None:
            os.close(before)

    def _remove_parts(self) -> None:
        """Remove what is left of downloads and removals that were killed; under the lock there are no others."""
        for left in [*self._files.glob(f"{_PART}*"), *self._bundles.glob(f"{_PART}*")]:
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)

    def _fill(self, place: Path, digest: str, manifest: bytes, part: Part) -> None:
        if hashlib.sha256(manifest).hexdigest() != digest:
            raise _mismatch("the list of the blueprint folders")
        document = json.loads(manifest)
        with tempfile.TemporaryDirectory(dir=self._bundles, prefix=_PART) as name:
            folder = Path(name)
            (folder / "manifest.json").write_bytes(manifest)
            for number in range(document["Folders"]):
                (folder / str(number)).mkdir()
            for path, (sha256, size) in document["Files"].items():
                pure = PurePosixPath(path)
                if pure.is_absolute() or ".." in pure.parts:
                    raise _mismatch(path)
                target = folder / pure
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(self._file(path, sha256, size, part), target)
            shutil.rmtree(place, ignore_errors=True)  # one without a list
            folder.rename(place)
            folder.mkdir()  # for the context's end

    def _file(self, path: str, sha256: str, size: int, part: Part) -> Path:
        kept = self._files / sha256
        if kept.is_file() and kept.stat().st_size == size and sha256_of(kept) == sha256:
            return kept
        handle, name = tempfile.mkstemp(dir=self._files, prefix=_PART)
        try:
            with open(handle, "wb") as file:
                while file.tell() < size:
                    content = part(sha256, file.tell())
                    if not content:
                        raise _mismatch(path)
                    file.write(content)
            if sha256_of(Path(name)) != sha256:
                raise _mismatch(path)
            os.replace(name, kept)
        finally:
            Path(name).unlink(missing_ok=True)
        return kept

    def _forget(self) -> None:
        """Remove all but the bundles that were used last, or are in use, and their files."""
        bundles = sorted(self._bundles.glob("[0-9a-f]*"), key=lambda each: each.stat().st_mtime, reverse=True)
        for each in bundles[_KEPT_BUNDLES:]:
            if (lock := locked(each / "manifest.json", wait=False)) is not None:
                with closing_descriptor(lock):
                    whole = each.rename(self._bundles / f"{_PART}{each.name}")  # a part of it is never taken for it
                    shutil.rmtree(whole, ignore_errors=True)
        for file in self._files.glob("[0-9a-f]*"):
            if file.stat().st_nlink == 1:
                file.unlink(missing_ok=True)


def _mismatch(what: str) -> StorageError:
    return StorageError(
        f"{what} is not what Orthanc has announced by its digest: it is refused",
        remedy="restart Orthanc when blueprints have changed there; else something between the machines changes files",
    )
