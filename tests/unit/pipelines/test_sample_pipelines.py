"""The sample pipelines: Gaussian smoothing and the SUV map, against values computed apart from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from building import LIBRARY, parent_of, volume, written
from derived_series import BuildContext, ParentSeries
from derived_series.errors import GeometryError, HeaderError, InvalidParent, InvalidRequest
from derived_series.pipelines import Value
from derived_series.pipelines.run import Options, run_outputs
from phantoms import ct_phantom, pet_phantom
from test_pipelines import CT, MR, PET, run


@pytest.mark.parametrize("parent", [CT, MR], ids=["CT", "MR"])
@pytest.mark.parametrize("sigma", [0.7, 3.0])
def test_gaussian_smoothing_is_scipys(parent: ParentSeries, sigma: float) -> None:
    series = run("gaussian_smoothing", parent, {"SigmaMm": sigma})
    between_slices = 2.5 if parent is CT else 1.5
    between_rows, between_columns = (float(v) for v in parent.pivot.PixelSpacing)
    millimetres = np.array([between_slices, between_rows, between_columns])
    wanted = gaussian_filter(parent.voxels().astype(np.float64), sigma / millimetres, mode="nearest")
    (first, *_) = written(series)
    step = float(str(first.RescaleSlope))
    assert np.abs(volume(series) - wanted).max() <= step / 2 + 1e-3
    assert first.DerivationDescription == f"Gaussian smoothing, sigma {sigma:g} mm"
    assert first.DerivationCodeSequence[0].CodeMeaning == "Gaussian blur"
    assert not any("how the image was derived" in warning for warning in series.warnings)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"SigmaMm": -1}, "SigmaMm: a number greater than 0 is expected, not number -1"),
        ({"SigmaMm": "wide"}, 'SigmaMm: a number is expected, not string "wide"'),
        ({"Sigma": 1}, "unknown key 'Sigma'"),
        ({"SigmaMm": 1e9}, "a number of at most 50 is expected"),
        ({"SigmaMm": None}, "SigmaMm: a number is expected, not null"),
        ({"SigmaMm": float("nan")}, "SigmaMm"),
    ],
)
def test_bad_parameters_are_named(parameters: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text) as error:
        run("gaussian_smoothing", CT, parameters)
    assert "its parameters are: SigmaMm" in str(error.value)


def test_smoothing_refuses_what_it_cannot_do() -> None:
    with pytest.raises(InvalidParent, match=r"Modality \(0008,0060\) is 'PT', wanted 'CT' or 'MR'"):
        run("gaussian_smoothing", PET)
    uneven = ct_phantom(4, 6, 5)
    uneven[3].ImagePositionPatient[2] += 3
    with pytest.raises(GeometryError, match="smoothing across slices needs evenly spaced slices"):
        run("gaussian_smoothing", parent_of(uneven))


def test_the_body_mask_is_the_largest_part_with_its_holes_and_its_volume() -> None:
    voxels = np.full((4, 12, 10), -1000.0)
    voxels[1:3, 2:9, 2:8] = 40  # 2 x 7 x 6 voxels of a body
    voxels[1:3, 4:6, 4:6] = -900  # its lungs
    voxels[0, 0, 0] = 500  # something else
    datasets = ct_phantom(4, 12, 10)
    for dataset, plane in zip(datasets, voxels, strict=True):
        dataset.PixelData = ((plane - dataset.RescaleIntercept) / dataset.RescaleSlope).astype(np.int16).tobytes()
    parent = parent_of(datasets)
    assert np.array_equal(parent.voxels(), voxels)
    results = run_outputs(LIBRARY, "body_mask", {"ct": parent}, {}, Options(), BuildContext())
    wanted = np.zeros(voxels.shape, bool)
    wanted[1:3, 2:9, 2:8] = True
    assert np.array_equal(volume(results.series["masked"]), np.where(wanted, voxels, -1024))
    (mask,) = written(results.series["mask"])
    assert np.array_equal(mask.pixel_array.astype(bool), wanted[1:3]) and mask.SegmentSequence[0].SegmentLabel == "Body"
    voxel = 2.5 * float(parent.pivot.PixelSpacing[0]) * float(parent.pivot.PixelSpacing[1]) / 1000
    assert results.values["body"] == Value(round(84 * voxel, 1), "ml")
    assert results.values["mean"] == Value(round((84 * 40 - 8 * 940) / 84, 1), "[hnsf'U]")


def _pet(**changes: Any) -> ParentSeries:
    datasets = pet_phantom(4, 6, 5)
    for dataset in datasets:
        dose = dataset.RadiopharmaceuticalInformationSequence[0]
        for keyword, value in changes.items():
            target = dose if keyword.startswith("Radio") else dataset
            if value is None:
                delattr(target, keyword)
            else:
                setattr(target, keyword, value)
    return parent_of(datasets)


DECAYED = 2 ** (-3600 / 6586.2)


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({}, 72500 / (370e6 * DECAYED)),
        ({"DecayCorrection": "ADMIN"}, 72500 / 370e6),
        ({"PatientWeight": "50"}, 50000 / (370e6 * DECAYED)),
        ({"RadionuclideTotalDose": "185000000"}, 72500 / (185e6 * DECAYED)),
        ({"RadiopharmaceuticalStartDateTime": None}, 72500 / (370e6 * DECAYED)),
        (
            {
                "RadiopharmaceuticalStartDateTime": "20240312100000.500000+0100",
                "RadiopharmaceuticalStartTime": "100000",
            },
            72500 / (370e6 * 2 ** (-1799.5 / 6586.2)),
        ),
        (
            {"RadiopharmaceuticalStartDateTime": "20240311233000", "RadiopharmaceuticalStartTime": "233000"},
            72500 / (370e6 * 2 ** (-11 * 3600 / 6586.2)),
        ),
        (
            {"RadiopharmaceuticalStartDateTime": None, "RadiopharmaceuticalStartTime": "233000"},
            72500 / (370e6 * 2 ** (-11 * 3600 / 6586.2)),
        ),
    ],
)
def test_suv_by_a_factor_computed_by_hand(changes: dict[str, Any], factor: float) -> None:
    parent = _pet(**changes)
    series = run("suv_body_weight", parent)
    (first, *_) = datasets = written(series)
    assert (
        np.abs(volume(series) - parent.voxels() * factor).max() <= float(first.RescaleSlope) / 2 * 1.01 + 2e-4 * factor
    )
    assert (first.Units, first.SUVType, first.SeriesDescription) == ("GML", "BW", "SUV body weight")
    assert {float(dataset.RescaleIntercept) for dataset in datasets} == {0}
    assert (first.SeriesDate, first.SeriesTime) == ("20240312", "103000.00")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"Units": "CNTS"}, r"Units \(0054,1001\) is 'CNTS', wanted 'BQML'"),
        ({"PatientWeight": None}, r"PatientWeight \(0010,1030\) is missing"),
        ({"PatientWeight": "0"}, "PatientWeight is 0.0 kg"),
        ({"RadionuclideTotalDose": None}, "RadionuclideTotalDose 0.0 Bq"),
        ({"DecayCorrection": "NONE"}, "DecayCorrection is 'NONE'"),
        ({"RadionuclideHalfLife": None}, r"no RadionuclideHalfLife \(0018,1075\)"),
        ({"RadiopharmaceuticalStartDateTime": None, "RadiopharmaceuticalStartTime": None}, "no Radiopharm.*StartTime"),
        ({"SeriesTime": "120000"}, "is after the first acquisition"),
        ({"RadiopharmaceuticalInformationSequence": []}, "RadiopharmaceuticalInformationSequence"),
        ({"AcquisitionTime": None}, "AcquisitionTime"),
        ({"SeriesTime": None}, "SeriesTime"),
    ],
)
def test_suv_refuses_what_it_cannot_know(changes: dict[str, Any], text: str) -> None:
    if "RadiopharmaceuticalInformationSequence" in changes:
        datasets = pet_phantom(2, 4, 4)
        for dataset in datasets:
            dataset.RadiopharmaceuticalInformationSequence = []
        parent = parent_of(datasets)
    else:
        parent = _pet(**changes)
    with pytest.raises((InvalidParent, HeaderError), match=text):
        run("suv_body_weight", parent)
