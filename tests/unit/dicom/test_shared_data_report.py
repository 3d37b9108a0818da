"""What each real series becomes, one line each at the end of the run: through the gate, dciodvfy and dcentvfy."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from building import READY, build
from dcentvfy import disagreements
from dciodvfy import errors
from derived_series import ParentSeries, derivation
from derived_series.dicom.source.selection import ALL, Selection
from derived_series.errors import DerivedSeriesError
from derived_series.pipelines.gate import check_series
from shared_data import NO_DATA, series_files, series_folder, series_names

AXIAL = ", Orientation Axial"
_AGE = r"PatientAge \(0010,1010\) is '0Y': .*"

#: Folder (and what is asked for) -> what it becomes, as a regular expression.
EXPECTED = {
    "ct_axial_head_philips": "derived, 28 instances",
    "ct_ge_signed_pad_3sl": "derived, 3 instances",
    "ct_tilt_siemens_4sl_utf8": "derived with warning, 4 instances: the file meta information of 4 .*; " + _AGE,
    "ct_uneven_siemens_tilt_missing": "derived, 4 instances",
    "mr_ax_obl_ge_uneven_s16": "derived, 20 instances",
    "mr_biolab_ax_obl_ps_unequal": "derived with warning, 24 instances: ScanningSequence .* is missing: .* type 1; .*",
    "mr_enh_siemens_8fr": "derived, 8 instances",
    "mr_fmri_ge_4d": "derived with warning, 150 instances: 4D: 10 volumes by InstanceNumber, the last resort.*",
    "mr_hitachi_obl39_iso2022": "derived with warning, 4 instances: the file meta information of 4 .*; " + _AGE,
    "mr_mixed_orient_4sl": "refused: the parent has 2 orientations .*",
    "mr_mixed_orient_4sl" + AXIAL: "derived with warning, 2 instances: .*",
    "mr_mosaic_siemens_2vol": "derived with warning, 70 instances: 4D: 2 volumes by AcquisitionTime",
    "mr_perslice_rescale_nonsquare": "derived, 4 instances",
    "mr_sag_mprage_siemens": "derived, 48 instances",
    "mr_sag_siemens_j2k_4sl": "derived with warning, 4 instances: " + _AGE,
    "mr_sag_siemens_jpegls_4sl": "derived with warning, 4 instances: " + _AGE,
    "mr_sag_siemens_rle_4sl": "derived with warning, 4 instances: " + _AGE,
    "sc_rgb_j2k_4sl": "derived, 4 instances",
}

pytestmark = pytest.mark.skipif(not series_names(), reason=NO_DATA)


@pytest.mark.parametrize("asked", sorted({*EXPECTED, *series_names()}))
def test_what_becomes_of(asked: str, tmp_path: Path, report: Callable[[str], None]) -> None:
    outcome, new, apart = derive(asked, tmp_path)
    report(f"{asked}: {outcome}" + "".join(f"\n    {line}" for line in (*new, *apart)))
    assert new == [], "dciodvfy: errors that the parent does not have"
    assert apart == [], "dcentvfy: not of the parent's patient or study, or not one series"
    if asked in EXPECTED:
        assert re.fullmatch(EXPECTED[asked], outcome)


def derive(asked: str, folder: Path) -> tuple[str, list[str], list[str]]:
    """What a series becomes with its modality's ready blueprint (colour: a capture); new errors and disagreements."""
    name, axial, _ = asked.partition(AXIAL)
    try:
        parent = ParentSeries.from_folder(series_folder(name), Selection("Axial") if axial else ALL)
        grey = parent.modality in READY and int(parent.pivot.SamplesPerPixel) == 1
        built_series = build(
            parent,
            parent.voxels() * 1 if grey else parent.stored(),
            derivation("The same", "PixelByPixelMean"),
            blueprint=READY[parent.modality] if grey else "secondary_capture",
        )
        series = check_series(built_series, parent, "Strict")
    except DerivedSeriesError as error:
        return f"refused: {error.message}", [], []
    derived = []
    for index in range(len(series)):
        derived.append(folder / f"{index}.dcm")
        derived[-1].write_bytes(series.encode(index))
    parents = series_files(name)
    ends = [parents[0], parents[-1]]  # that all of them are of one patient and study, reading them has shown
    before = disagreements(ends)
    apart = [line for line in disagreements([*ends, *derived]) if line not in before]
    how = "derived with warning" if series.warnings else "derived"
    remarks = (
        ": " + "; ".join(textwrap.shorten(line, 120, placeholder=" ...") for line in series.warnings)
        if series.warnings
        else ""
    )
    return f"{how}, {len(series)} instances{remarks}", new_errors(derived, parents), apart


def new_errors(derived: list[Path], parents: list[Path]) -> list[str]:
    """Errors of the derived files that none of the parents has, about its UIDs neither."""
    lines = dict.fromkeys(line for path in derived for line in errors(path.read_bytes()))
    if not lines:
        return []
    known = {line for path in parents for line in errors(path.read_bytes())}
    wrong = [line for line in known if "Illegal root for UID" in line]  # what refers to such a parent has its UID
    return [line for line in lines if line not in known and not ("Illegal root for UID" in line and wrong)]
