"""The table of kinds: what it says is what the standard and the code have, and a new kind is one file and one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import UID

import derived_series
from building import LIBRARY
from derived_series.dicom.blueprints.parents_class import ParentsClassElement
from derived_series.dicom.factories.kinds import FACTORIES, FileFactory, ObjectFactory
from derived_series.kinds import FILE_TYPES, KINDS, SOP_CLASSES, file_type, kind_of, reader_of, sop_class
from phantoms import ct_phantom

PACKAGE = Path(derived_series.__file__).parent
REPOSITORY = PACKAGE.parent.parent

#: A kind that is made from a text file: its declaration, its builder and its blueprint.
DECLARATION = '''"""Raw data: notes beside the images."""

from derived_series.kinds.file_types import FileType
from derived_series.kinds.kind import Kind, RequestKey, SopClass

AUTHOR = RequestKey("NoteAuthor", "ContentCreatorName", module="note_author", form=str | None)
NOTES = FileType("file of notes", ".notes", (b"NOTES",), "use the factory notes", "notes", lines_from=None)
RAW_DATA = SopClass("1.2.840.10008.5.1.4.1.1.66", "Raw Data Storage", modality="OT", single_instance=True)
KINDS = (
    Kind(
        "raw_notes",
        "notes",
        (RAW_DATA,),
        "notes as raw data",
        builder="raw_notes",
        made_from="File",
        files=(NOTES,),
        keys=(AUTHOR,),
    ),
)
'''
AUTHOR_MODULE = '''"""Who wrote the notes."""

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.element import StaticElement


def elements_of_request(name):
    return Blueprint([StaticElement("ContentCreatorName", "PN", name)])
'''
#: A request with the key of the new kind.
ASKED = """
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.jobs.work.options import options_of

request = DeriveRequest.of({"Blueprint": "raw_notes", "Factory": "notes", "NoteAuthor": "Doe^Jane"})
print(request.to_json()["NoteAuthor"], options_of(request, "Strict").extra["ContentCreatorName"].value)
"""
BUILDER = '''"""Raw data from notes."""

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.tag import Tag

from derived_series.dicom.image.placement import without_geometry
from derived_series.dicom.image.stored_pixels import encode_pixels
from derived_series.dicom.objects.single_instance import IMAGE_ONLY, draft_of, finished
from derived_series.kinds.kind import PixelRules


def build_from_file(header, content):
    nothing = encode_pixels(np.zeros((1, 1, 1), np.uint8), PixelRules())
    draft = draft_of(header, nothing, without_geometry(header.parent, 1), IMAGE_ONLY)
    return finished(draft, [DataElement(Tag("TextValue"), "UT", content.decode())])
'''
BLUEPRINT = '''"""Notes beside the images."""

from derived_series import Blueprint, StaticElement, object_blueprint

blueprint = object_blueprint + Blueprint(
    [StaticElement("SOPClassUID", "UI", "1.2.840.10008.5.1.4.1.1.66"), StaticElement("Modality", "CS", "OT")]
    + [StaticElement("CreatorVersionUID", "UI", "2.25.1"), StaticElement("AcquisitionContextSequence", "SQ", [])]
)
'''


@pytest.mark.parametrize("row", SOP_CLASSES.values(), ids=lambda row: row.name)
def test_names_and_uids_are_those_of_the_standard(row: object) -> None:
    uid, name = row.uid, row.name  # type: ignore[attr-defined]
    known = UID(uid).name
    assert known in (name, uid)  # uid: newer than this pydicom
    assert uid == row.classic or SOP_CLASSES[row.classic].single_frame if row.classic else True  # type: ignore[attr-defined]


def test_no_class_has_two_rows() -> None:
    """Two kinds may be of one class, such as binary and fractional segmentations."""
    rows = {row for kind in KINDS for row in kind.sop_classes}
    assert len(rows) == len({row.uid for row in rows})
    assert len({kind.blueprint for kind in KINDS}) == len(KINDS)


def test_every_kind_has_its_blueprint_its_factory_and_what_it_names() -> None:
    for kind in KINDS:
        element = LIBRARY.blueprint(kind.blueprint).blueprint["SOPClassUID"]
        classes = element.classes if isinstance(element, ParentsClassElement) else (element.value,)  # type: ignore[attr-defined]
        assert set(classes) <= {row.uid for row in kind.sop_classes}
        factory = FACTORIES[kind.factory]
        assert issubclass(factory, ObjectFactory) and factory.name == kind.factory
        assert issubclass(factory, FileFactory) == (kind.made_from == "File") == bool(kind.files)
        assert not kind.builder or (PACKAGE / "dicom" / "objects" / f"{kind.builder}.py").is_file()
        single = all(row.single_instance or row.of_one_parent for row in kind.sop_classes)
        assert bool(kind.builder) == (bool(kind.sign) or single)
        assert not kind.sign or kind.sign in LIBRARY.blueprint(kind.blueprint).blueprint


def test_a_class_without_a_row_is_an_image_as_any_other() -> None:
    row = sop_class("1.2.3")
    assert (row.uid, row.placed, row.single_instance, row.pixels.bits, kind_of("1.2.3")) == (
        "1.2.3",
        True,
        False,
        (8, 16),
        None,
    )


@pytest.mark.parametrize("start", [start for file in FILE_TYPES for start in file.starts])
def test_files_are_known_by_their_first_bytes(start: bytes) -> None:
    kind = file_type(start + bytes(12))
    assert kind is not None and start in kind.starts
    assert file_type(b"\0" + start) is None


def test_files_are_read_by_the_factory_of_their_name() -> None:
    names = ("a.npy", "a.nii", "a.nii.gz", "a.pdf", "a.img")
    assert [reader_of(name) for name in names] == ["numpy", "nifti", "nifti", "pdf", "nifti"]


@pytest.mark.slow
def test_a_new_kind_is_its_own_files_and_one_line(tmp_path: Path) -> None:
    """The factory, the list, the command and the SOP class follow from the declaration."""
    package = tmp_path / "plugin" / "derived_series"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "*.js", "*.css", "*.html"))
    shutil.copy(PACKAGE.parent / "main.py", package.parent)  # it tells a checkout from an installed package
    (package / "kinds" / "raw_notes.py").write_text(DECLARATION)
    (package / "dicom" / "objects" / "raw_notes.py").write_text(BUILDER)
    shutil.copytree(REPOSITORY / "blueprints", tmp_path / "blueprints")
    (tmp_path / "blueprints" / "raw_notes.py").write_text(BLUEPRINT)
    table = package / "kinds" / "__init__.py"
    last, text = '    "encapsulated_pdf",\n', table.read_text()
    assert last in text
    table.write_text(text.replace(last, f'{last}    "raw_notes",\n'))

    (package / "dicom" / "modules" / "note_author.py").write_text(AUTHOR_MODULE)
    parent, notes, out = tmp_path / "parent", tmp_path / "a.notes", tmp_path / "out"
    parent.mkdir()
    for number, dataset in enumerate(ct_phantom(2, 8, 8)):
        dataset.save_as(parent / f"{number}.dcm", enforce_file_format=True)
    notes.write_bytes(b"NOTES all is well")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return python("-m", "derived_series", *arguments)

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": str(package.parent)},
            capture_output=True,
            text=True,
            check=False,
        )

    listed = run("list").stdout
    assert "raw_notes" in listed and "notes" in listed.split("factories:")[1]
    assert ".notes" in run("build", "--help").stdout
    completed = run("build", str(parent), str(out), "--blueprint", "raw_notes", "--image", str(notes))
    assert completed.returncode == 0, completed.stderr
    dataset = dcmread(next(out.iterdir()))
    assert (dataset.SOPClassUID, dataset.TextValue) == ("1.2.840.10008.5.1.4.1.1.66", "NOTES all is well")
    asked = python("-c", ASKED)
    assert asked.stdout.split() == ["Doe^Jane", "Doe^Jane"], asked.stderr
    wrong = run("build", str(parent), str(tmp_path / "other"), "--blueprint", "ct", "--image", str(notes))
    assert wrong.returncode == 2 and "NotesFactory makes no CT Image Storage" in wrong.stderr


@pytest.mark.parametrize("module", ["kinds", "orthanc.app"])
def test_orthancs_process_loads_neither_numpy_nor_pydicom(module: str) -> None:
    loaded = "json.dumps(sorted({'numpy', 'pydicom'} & set(sys.modules)))"
    code = f"import json, sys, derived_series.{module}; print({loaded})"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == []
