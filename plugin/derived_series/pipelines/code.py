"""The code that a pipeline's result depends on besides its file: helper files, the algorithm's version and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from derived_series.dicom.blueprints.algorithm import Algorithm
from derived_series.errors import BlueprintError
from derived_series.identifiers import code_digest


@dataclass(frozen=True, slots=True)
class Code:
    """What a pipeline's result depends on besides its file.

    :param helpers: SHA-256 by file name of the folder's helpers: files whose names begin with ``_``, and packages.
    :param algorithm: as the pipeline declares it.
    :param weights: SHA-256 by name of the algorithm's files.
    """

    helpers: Mapping[str, str] = field(default_factory=dict)
    algorithm: Algorithm | None = None
    weights: Mapping[str, str] = field(default_factory=dict)

    def digest(self, sha256: str) -> str:
        """A digest of the file and of all this code. :param sha256: the file's; it is the digest if it is all."""
        return code_digest(sha256, self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The keys of the provenance; empty if there is nothing to say."""
        document: dict[str, Any] = {"Helpers": dict(self.helpers)} if self.helpers else {}
        if self.algorithm is not None:
            texts = {"Name": self.algorithm.name, "Version": self.algorithm.version}
            texts |= {"Manufacturer": self.algorithm.manufacturer}
            texts |= {"UID": self.algorithm.uid} if self.algorithm.uid else {}
            document["Algorithm"] = {**texts, "Files": dict(self.weights)}
        return document


def code_of(file: Path, algorithm: Algorithm | None) -> Code:
    """The code of a pipeline in a file.

    :raises BlueprintError: a file of the algorithm does not exist.
    """
    if algorithm is not None and not isinstance(algorithm, Algorithm):
        raise BlueprintError(f"'algorithm' is a {type(algorithm).__name__}", remedy="make it an Algorithm(...)")
    folder = file.parent
    helpers = {str(path.relative_to(folder)): _sha256([path]) for path in sorted(_helpers(folder))}
    weights = {}
    for weight_file in algorithm.files if algorithm is not None else ():
        path = folder / weight_file
        if not path.exists():
            raise BlueprintError(f"the algorithm's file {path} is not there", remedy="put it there, or mend the path")
        within = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        weights[str(weight_file)] = _sha256(within)
    return Code(helpers, algorithm, weights)


def _helpers(folder: Path) -> Iterable[Path]:
    yield from folder.glob("_*.py")
    for package in folder.glob("*/__init__.py"):
        yield from package.parent.rglob("*.py")


def _sha256(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
