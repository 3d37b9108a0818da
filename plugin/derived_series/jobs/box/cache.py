"""BundleCache: blueprint folders on a worker's machine, files by digest and folders by the digest of their list."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from derived_series.errors import StorageError
from derived_series.jobs.remote.bundle import sha256_of

#: Fetches bytes of a file, by its digest, from an offset on.
Part = Callable[[str, int], bytes]

_KEPT_BUNDLES = 5


class BundleCache:
    """Keeps fetched blueprint folders for later jobs and later starts.

    :param folder: a folder to which nothing else writes.
    """

    def __init__(self, folder: Path):
        self._files = folder / "files"
        self._bundles = folder / "bundles"
        for each in (self._files, self._bundles):
            each.mkdir(parents=True, exist_ok=True)

    def folders(self, digest: str, manifest: Callable[[], bytes], part: Part) -> tuple[str, ...]:
        """The blueprint folders with a digest; missing files are fetched.

        :raises StorageError: what arrives does not match the digest.
        """
        place = self._bundles / digest
        if not place.is_dir():
            self._fill(place, digest, manifest(), part)
        os.utime(place)
        self._forget(but=place)
        count = json.loads((place / "manifest.json").read_bytes())["Folders"]
        return tuple(str(place / str(number)) for number in range(count))

    def _fill(self, place: Path, digest: str, manifest: bytes, part: Part) -> None:
        if hashlib.sha256(manifest).hexdigest() != digest:
            raise _mismatch("the list of the blueprint folders")
        document = json.loads(manifest)
        with tempfile.TemporaryDirectory(dir=self._bundles, prefix="part-") as name:
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
            whole = folder.with_name(f"whole-{folder.name}")
            folder.rename(whole)
            try:
                whole.rename(place)
            except OSError:  # another worker on this machine was faster
                shutil.rmtree(whole, ignore_errors=True)
            folder.mkdir()  # for the context's end

    def _file(self, path: str, sha256: str, size: int, part: Part) -> Path:
        kept = self._files / sha256
        if kept.is_file() and kept.stat().st_size == size and sha256_of(kept) == sha256:
            return kept
        handle, name = tempfile.mkstemp(dir=self._files, prefix="part-")
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

    def _forget(self, *, but: Path) -> None:
        """Remove all but the bundles used last and their files."""
        bundles = sorted(self._bundles.glob("[0-9a-f]*"), key=lambda each: each.stat().st_mtime, reverse=True)
        if len(bundles) <= _KEPT_BUNDLES:
            return
        for each in bundles[_KEPT_BUNDLES:]:
            if each != but:
                shutil.rmtree(each, ignore_errors=True)
        for file in self._files.glob("[0-9a-f]*"):
            if file.stat().st_nlink == 1:
                file.unlink(missing_ok=True)


def _mismatch(what: str) -> StorageError:
    return StorageError(
        f"{what} is not what Orthanc has announced by its digest: it is refused",
        remedy="restart Orthanc when blueprints have changed there; else something between the machines changes files",
    )
