"""What the catalogue says of blueprints, which a form has to know before a file is sent."""

from __future__ import annotations

from typing import Any

import pytest

from derived_series.jobs.work.catalogue import catalogue, kind_json
from derived_series.kinds import KINDS, file_type, reads
from orthanc_server import REPOSITORY

BLUEPRINTS = catalogue((str(REPOSITORY / "blueprints"),)).blueprints


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.blueprint)
def test_each_ready_blueprint_says_what_it_is_made_from(kind: Any) -> None:
    document = BLUEPRINTS[kind.blueprint]["Kind"]
    assert document["Name"] == kind.blueprint and document["Factory"] == kind.factory
    assert document["Keys"] == [key.name for key in kind.keys]
    taken = [file for file in document["Files"] if file["Factory"]]
    assert taken
    for file in taken:
        for start in file["Starts"]:
            known = file_type(bytes.fromhex(start))
            assert known is not None and known.name == file["Name"] and reads(document["Factory"], known)


def test_what_has_to_be_like_the_parent() -> None:
    expected = {"ct": ("CT", True), "dx": ("DX", False), "segmentation": (None, True), "overlay": (None, True)}
    expected |= {"secondary_capture": (None, False), "encapsulated_pdf": (None, False)}
    for name, wanted in expected.items():
        document = BLUEPRINTS[name]["Kind"]
        assert (document["Modality"], document["OnParent"]) == wanted, name


def test_of_an_unknown_kind_nothing_is_said() -> None:
    assert kind_json(None) is None
