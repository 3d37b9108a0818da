"""Warnings about series whose class or units the values belie, and none where they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from building import READY, Parents, build, parent_of
from derived_series import Blueprint, NumpyFactory, ParentSeries, StaticElement, derivation
from phantoms import ct_phantom, encode, mr_phantom, pet_phantom

PARENTS = Parents({"CT": lambda: parent_of(ct_phantom(4, 12, 10)), "MR": lambda: parent_of(mr_phantom(4, 12, 10))})
PET = parent_of(pet_phantom(4, 12, 10))
SAID = derivation("done", "Smoothing")


def warnings_of(
    parent: ParentSeries, image: Any, extra: Blueprint | None = None, blueprint: str | None = None
) -> list[str]:
    """The warnings, of a build that says how the image was made."""
    return list(build(parent, image, SAID + (extra or Blueprint()), blueprint=blueprint).warnings)


def part(parent: ParentSeries) -> Any:
    """Values from 0 to 1, as of a map of probabilities."""
    return np.linspace(0, 1, int(np.prod(parent.shape)), dtype=np.float32).reshape(parent.shape)


@pytest.mark.parametrize("modality", PARENTS)
def test_masks_and_probabilities_are_not_images_of_a_modality(modality: str) -> None:
    parent = PARENTS[modality]
    (warning,) = warnings_of(parent, part(parent))
    assert "probabilities" in warning and "parametric_map" in warning
    half = part(parent) > 0.5
    for mask in (half, half.astype(np.uint8), np.where(half, 5, 0), np.where(half, 3, 1).astype(np.int16)):
        (warning,) = warnings_of(parent, mask)
        assert "mask" in warning and "segmentation" in warning


@pytest.mark.parametrize("modality", PARENTS)
def test_images_draw_no_warning(modality: str) -> None:
    parent = PARENTS[modality]
    three = np.round(part(parent) * 2).astype(np.int16) * 5
    for image in (parent.voxels(), parent.voxels() * 0.01, part(parent) * 2, part(parent) - 0.5, three):
        assert warnings_of(parent, image) == []
    assert warnings_of(parent, part(parent), blueprint="secondary_capture") == []


def test_suv_in_becquerels() -> None:
    suv = PET.voxels() * np.float32(2e-4)
    (warning,) = warnings_of(PET, suv)
    assert "look like SUV" in warning and "GML" in warning
    named = Blueprint([StaticElement("SeriesDescription", "SUV bw")])
    (warning,) = warnings_of(PET, PET.voxels(), named)
    assert "speaks of SUV" in warning
    units = Blueprint([StaticElement("Units", "GML"), StaticElement("SUVType", "BW")])
    assert warnings_of(PET, suv, units + named) == []
    for image in (PET.voxels(), PET.voxels() * 0.1):
        assert warnings_of(PET, image) == []


def test_suv_is_seen_without_the_parents_pixels() -> None:
    headers = ParentSeries.from_bytes((encode(instance) for instance in pet_phantom(4, 12, 10)), pixels=False)
    assert "look like SUV" in warnings_of(headers, PET.voxels() * np.float32(2e-4))[0]
    assert warnings_of(headers, PET.voxels()) == []


def test_an_inverted_parent_is_told() -> None:
    datasets = ct_phantom(3, 8, 7)
    for dataset in datasets:
        dataset.PhotometricInterpretation = "MONOCHROME1"
    (warning,) = warnings_of(parent_of(datasets), parent_of(datasets).voxels())
    assert "MONOCHROME1" in warning and "CT" in READY
    for dataset in datasets[:2]:  # the last one alone is enough
        dataset.PhotometricInterpretation = "MONOCHROME2"
    assert "MONOCHROME1" in warnings_of(parent_of(datasets), parent_of(datasets).voxels())[0]


PHANTOMS = {"ct": ct_phantom, "mr": mr_phantom, "pet": pet_phantom}
#: The parents of which a blueprint of another modality can be made.
OTHER_MODALITY = [(kind, f"{way}ct") for kind in ("mr", "pet") for way in ("", "legacy_enhanced_")]
OTHER_MODALITY += [("ct", "legacy_enhanced_mr"), ("pet", "legacy_enhanced_mr")]


@pytest.mark.parametrize(("kind", "blueprint"), OTHER_MODALITY)
def test_own_values_of_another_modality_are_told(kind: str, blueprint: str) -> None:
    parent = parent_of(PHANTOMS[kind](3, 8, 8))
    factory = NumpyFactory()
    (warning,) = [
        warning
        for warning in build(parent, factory.own_image(parent), blueprint=blueprint, factory=factory).warnings
        if "the parent's own values are taken for those of" in warning
    ]
    assert f"and the parent is {parent.modality}" in warning and f"use the blueprint {kind}, or" in warning
    given_values = build(parent, parent.voxels(), blueprint=blueprint, factory=factory)  # such as a synthetic CT
    assert not any("own values" in warning for warning in given_values.warnings)


@pytest.mark.parametrize("way", ["", "legacy_enhanced_"])
@pytest.mark.parametrize("kind", PHANTOMS)
def test_own_values_of_the_same_modality_draw_no_warning(kind: str, way: str) -> None:
    parent = parent_of(PHANTOMS[kind](3, 8, 8))
    series = build(parent, NumpyFactory().own_image(parent), blueprint=way + kind)
    assert not any("own values" in warning for warning in series.warnings)
