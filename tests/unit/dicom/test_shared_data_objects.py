"""Objects of other kinds beside real series: nothing that dciodvfy finds. Skipped where there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from building import READY, build
from dciodvfy import new_errors
from derived_series import Blueprint, EncapsulatedPdfFactory, ParentSeries, StaticElement
from shared_data import NO_DATA, series_datasets, series_folder, series_names

SERIES = ("ct_tilt_siemens_4sl_utf8", "mr_hitachi_obl39_iso2022", "mr_perslice_rescale_nonsquare", "sc_rgb_j2k_4sl")
KINDS = ("segmentation", "parametric_map", "rt_dose", "multiframe_secondary_capture", "encapsulated_pdf", "enhanced")

pytestmark = pytest.mark.skipif(not series_names(), reason=NO_DATA)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SERIES)
def test_an_object_beside_a_real_series(name: str, kind: str) -> None:
    parent = ParentSeries.from_folder(series_folder(name))
    if (kind, name) == ("rt_dose", "ct_tilt_siemens_4sl_utf8"):
        return  # a tilted gantry: refused, and tested elsewhere
    labels = np.zeros(parent.shape, np.uint8)
    labels[1:, 5:20, 10:30] = 1
    image: Any = labels if kind != "encapsulated_pdf" else b"%PDF-1.4"
    extra, expected = None, []
    if kind == "rt_dose":
        extra = Blueprint([StaticElement("BitsAllocated", 16)])
        expected = ["ReferencedRTPlanSequence"]  # which plan, nothing here tells
    blueprint = f"legacy_enhanced_{READY[parent.modality]}" if kind == "enhanced" else kind
    factory = EncapsulatedPdfFactory() if kind == "encapsulated_pdf" else None
    series = build(parent, image, extra, blueprint=blueprint, factory=factory)
    errors_of_ours = new_errors(series.encode(0), series_datasets(name)[:1])
    assert [line for line in errors_of_ours if not any(word in line for word in expected)] == []
    assert str(series.dataset(0).PatientName) == str(parent.pivot.PatientName)
