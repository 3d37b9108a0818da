"""Labels drawn over their parent: outlines or fill in the segments' colours, named, in the parent's window."""

from __future__ import annotations

import numpy as np
import pytest

from building import build, parent_of, written
from dciodvfy import errors
from derived_series import Segment
from derived_series.dicom.modules.windows import displayed, windows_of
from derived_series.dicom.objects.overlay import overlay
from derived_series.errors import ShapeMismatch
from phantoms import ct_phantom

PARENT = parent_of(ct_phantom(4, 64, 80))
LIVER = Segment(3, "Liver", "Liver", color="#ff0000")
LABELS = np.zeros(PARENT.shape, np.uint8)
LABELS[1, 20:30, 30:44] = 3
LABELS[1, 40:44, 30:44] = 9


def test_outlines_leave_the_rest_as_its_window_shows_it() -> None:
    pictures = overlay(PARENT, LABELS, [LIVER], legend=False)
    assert pictures.shape == (*PARENT.shape, 3) and pictures.dtype == np.uint8
    grey = np.rint(displayed(PARENT.voxels(), *windows_of(PARENT.pivot)[0]) * 255)
    inside = np.zeros(PARENT.shape, bool)
    inside[1, 21:29, 31:43] = True
    edge = (LABELS == 3) & ~inside
    assert np.all(pictures[edge] == (255, 0, 0))
    same = (LABELS == 0) | inside
    assert all(np.array_equal(pictures[..., k][same], grey[same]) for k in range(3))
    other = pictures[1, 40, 30]
    assert len(set(other.tolist())) > 1 and tuple(other) != (255, 0, 0)  # a colour of its own


def test_fill_is_half_transparent() -> None:
    plain, filled = (overlay(PARENT, LABELS, [LIVER], legend=False, fill=part) for part in (0.0, 0.5))
    middle = (1, slice(22, 28), slice(32, 42))
    mixed = np.rint(plain[middle] * 0.5 + np.array([255, 0, 0]) * 0.5)
    assert np.array_equal(filled[middle], mixed)


def test_names_position_and_note_are_written() -> None:
    plain = overlay(PARENT, LABELS, [LIVER], legend=False)
    named = overlay(PARENT, LABELS, [LIVER])
    noted = overlay(PARENT, LABELS, [LIVER], note=True)
    assert (named[1, :16, :40] == (255, 0, 0)).all(axis=-1).sum() > 10  # "Liver", in its colour
    assert not (named[0, :30] != plain[0, :30]).any() and (named[0, -20:] != plain[0, -20:]).any()  # the position
    assert (noted[0] != named[0]).any()


def test_an_overlay_is_a_secondary_capture() -> None:
    series = build(PARENT, overlay(PARENT, LABELS, [LIVER]), blueprint="secondary_capture")
    datasets = written(series)
    assert len(datasets) == 4 and datasets[0].PhotometricInterpretation == "RGB"
    assert errors(series.encode(1)) == []
    named = [dataset.SourceImageSequence[0].ReferencedSOPInstanceUID for dataset in datasets]
    assert named == [instance.SOPInstanceUID for instance in PARENT.instances]


def test_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(ShapeMismatch, match="the labels' shape is"):
        overlay(PARENT, LABELS[:2])
