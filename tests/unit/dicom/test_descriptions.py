"""The default SeriesDescription tells the derivations of one parent apart; answers say what is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from building import REPOSITORY, build, parent_of, written
from derived_series import Blueprint, BuildContext, HeaderElement, ParentSeries, StaticElement, derivation
from derived_series.errors import HeaderError, ValidationFailed
from derived_series.pipelines import Library
from derived_series.pipelines.gate import check_series
from derived_series.pipelines.run import Options, run_blueprint, run_pipeline
from phantoms import ct_phantom, mr_phantom, pet_phantom


def described(parent: str | bytes, extra: Blueprint | None = None) -> str:
    datasets = ct_phantom(3, 8, 8)
    for dataset in datasets:
        if isinstance(parent, bytes):
            dataset["SeriesDescription"] = RawDataElement(Tag(0x0008103E), "LO", len(parent), parent, 0, False, True)
        else:
            dataset.SeriesDescription = parent
    series = build(parent_of(datasets), None, extra)
    return str(written(series)[0].SeriesDescription)


def test_where_nothing_says_how_it_names_the_blueprint_or_the_pipeline(tmp_path: Path) -> None:
    """And a factory that is none of this package; two derivations of one parent are told apart."""
    (tmp_path / "mine.py").write_text(
        "from derived_series import NumpyFactory\n"
        "from derived_series.pipelines import Input, Pipeline\n"
        "class MineFactory(NumpyFactory):\n    pass\n"
        "class Denoise(Pipeline):\n"
        "    input = {'ct': Input}\n"
        "    def blueprint_for(self, parent, parameters, blueprints):\n        return blueprints['ct']\n"
        "    def process(self, container):\n        return container['ct'].voxels()\n"
    )
    library, parent = Library.load([REPOSITORY / "blueprints", tmp_path]), parent_of(ct_phantom(3, 8, 8))
    np.save(tmp_path / "image.npy", parent.voxels())
    image = tmp_path / "image.npy"
    all_series = [
        run_blueprint(library, blueprint, factory, parent, image, Options(), BuildContext())
        for blueprint, factory in (("ct", "numpy"), ("secondary_capture", "numpy"), ("ct", "mine"))
    ]
    all_series.append(run_pipeline(library, "denoise", {"ct": parent}, {}, Options(), BuildContext()))
    names = [str(written(series)[0].SeriesDescription).removeprefix("Head 2.5 H31s: ") for series in all_series]
    assert names == ["ct", "secondary_capture", "ct, mine", "denoise"]
    assert str(written(build(parent))[0].SeriesDescription) == "Head 2.5 H31s (derived)"


def test_it_names_the_derivation() -> None:
    assert described("Thorax 1.0", derivation("Gaussian 2 mm", "GaussianBlur")) == "Thorax 1.0: Gaussian 2 mm"
    assert described("Thorax 1.0", derivation("Gaussian 3 mm", "GaussianBlur")) == "Thorax 1.0: Gaussian 3 mm"
    by_code = Blueprint([derivation("", "GaussianBlur")["DerivationCodeSequence"]])
    assert described("Thorax 1.0", by_code) == "Thorax 1.0: Gaussian blur"
    by_function = Blueprint([HeaderElement("DerivationDescription", lambda env: f"of {env.parent.modality}")])
    assert described("Thorax 1.0", by_function) == "Thorax 1.0: of CT"
    assert described("", derivation("Gaussian 2 mm", "GaussianBlur")) == "Gaussian 2 mm"
    assert described("Thorax 1.0") == "Thorax 1.0 (derived)"
    assert described("") == "(derived)"
    assert (
        described("Thorax", derivation("x", "GaussianBlur") + Blueprint([StaticElement("SeriesDescription", "Mine")]))
        == "Mine"
    )


LONG = "Thorax with contrast in the arterial phase, reconstructed thin 1.0 B"  # 67 characters


@pytest.mark.parametrize(
    ("parent", "text", "right"),
    [
        (LONG[:64], "Gaussian smoothing, sigma 2 mm", "Thorax with contrast in the: Gaussian smoothing, sigma 2 mm"),
        ("Thorax", "Median " * 20, "Thorax: " + " ".join(["Median"] * 8)),
        ("X" * 64, "Y" * 80, "X" * 16 + ": " + "Y" * 46),
        (LONG[:64], "", "Thorax with contrast in the arterial phase (derived)"),
    ],
)
def test_it_is_cut_at_a_word(parent: str, text: str, right: str) -> None:
    description = described(parent, derivation(text, "GaussianBlur") if text else None)
    assert description == right and len(description) <= 64


@pytest.mark.parametrize("parent", [b"Lung\\Axial", b"Lung\tAxial ", b"Lung\r\nAxial", b" Lung  Axial"])
def test_what_the_parent_has_wrong_is_not_passed_on(parent: bytes) -> None:
    description = described(parent, derivation("one\r\ntwo", "GaussianBlur"))
    assert description == "Lung Axial: one two"


@pytest.mark.parametrize(
    ("parent", "kind", "message", "ready"),
    [
        (ct_phantom, "mr", "MR images, and the parent is CT", "ct"),
        (mr_phantom, "pet", "PT images, and the parent is MR", "mr"),
        (pet_phantom, "mr", "MR images, and the parent is PT", "pet"),
    ],
)
def test_a_blueprint_of_another_modality(parent: Any, kind: str, message: str, ready: str) -> None:
    series = ParentSeries.from_datasets(parent(3, 8, 8))
    with pytest.raises((HeaderError, ValidationFailed)) as error:
        check_series(build(series, blueprint=kind), series, "Strict")
    assert message in str(error.value) and f"use the blueprint {ready}, or secondary_capture" in str(error.value)


def test_what_is_missing_in_a_parent_of_the_same_modality_is_told_as_ever() -> None:
    parent = parent_of(mr_phantom(3, 8, 8))
    with pytest.raises(ValidationFailed, match="^the derived series breaks 1 rule.*WindowWidth") as error:
        check_series(build(parent, None, Blueprint([StaticElement("WindowWidth", None)])), parent, "Strict")
    assert "and the parent is" not in str(error.value)
