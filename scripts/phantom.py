"""Writes the phantom of a head as a folder of DICOM files: a parent to try a pipeline on.

PYTHONPATH=plugin:tests python scripts/phantom.py FOLDER [ct|mr|pet]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from phantoms import ct_phantom, mr_phantom, pet_phantom

PHANTOMS: Mapping[str, Callable[[], list[Dataset]]] = {"ct": ct_phantom, "mr": mr_phantom, "pet": pet_phantom}


def main(arguments: Sequence[str]) -> int:
    """Write one instance a file. :returns: the exit code of the program."""
    folder, modality = arguments[0] if arguments else "", arguments[1] if len(arguments) > 1 else "ct"
    if not folder or modality not in PHANTOMS or len(arguments) > 2:
        print(f"give a folder and one of {', '.join(PHANTOMS)}", file=sys.stderr)
        return 2
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(PHANTOMS[modality]()):
        dataset.save_as(Path(folder) / f"{number:03}.dcm", enforce_file_format=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
