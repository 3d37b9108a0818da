"""An image of any shape, type, range and place: every value, every position, and the bytes that pydicom would write."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.spatial.transform import Rotation

from building import Parents, parent_of, ready, written
from derived_series import DerivedSeries, Grid, NiftiFactory, NumpyFactory, PlacedImage
from phantoms import ct_phantom, mr_phantom, pet_phantom
from test_encoding import assert_same
from test_geometry import grid_points, patient_points
from test_nifti import ALL_48, assert_same_world, step_of, turned
from test_pixels import check

pytestmark = pytest.mark.slow

PARENTS = Parents(
    {
        "ct": lambda: parent_of(ct_phantom(3, 4, 5)),
        "mr": lambda: parent_of(mr_phantom(3, 4, 5, orientation="oblique")),
        "pet": lambda: parent_of(pet_phantom(3, 4, 5)),
    }
)
SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 12), st.integers(1, 12))
INTEGERS = [np.dtype(kind) for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")]
FLOATS = [np.dtype(kind) for kind in ("f2", "f4", "f8")]
ANGLES = st.tuples(*[st.floats(-180, 180)] * 3)
SIZES = st.tuples(*[st.floats(0.05, 20)] * 3)
ORIGINS = st.tuples(*[st.floats(-2000, 2000)] * 3)
#: These take images of any size.
SYNTAXES = st.sampled_from(["RLELossless", "HTJ2KLossless"])


@st.composite
def images(draw: Any, kinds: Any) -> npt.NDArray[Any]:
    """(slice, row, column) of one of the types: noise, few values, one value, or a narrow range far from zero."""
    dtype, shape = draw(st.sampled_from(kinds)), draw(SHAPES)
    if dtype.kind != "f":
        return np.asarray(draw(npst.arrays(dtype, shape)))
    limit = min(1e300, float(np.finfo(dtype).max))
    ends = sorted(draw(st.tuples(*[st.floats(-limit, limit, width=dtype.itemsize * 8)] * 2)))
    low, high = (end + 0.0 for end in ends)  # no negative zero
    elements = st.floats(low, high, width=dtype.itemsize * 8)
    return np.asarray(draw(npst.arrays(dtype, shape, elements=elements)))


def turn_of(angles: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    return np.asarray(Rotation.from_euler("xyz", angles, degrees=True).as_matrix())


@pytest.mark.filterwarnings("ignore:The number of bytes of compressed pixel data matches")  # by chance, in tiny images
@given(
    images([np.dtype(bool), *INTEGERS, *FLOATS]),
    ANGLES,
    SIZES,
    ORIGINS,
    st.sampled_from([*PARENTS, "secondary_capture"]),
    SYNTAXES,
)
def test_an_array_anywhere(
    image: npt.NDArray[Any], angles: Any, sizes: Any, origin: Any, name: str, syntax: str
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = turn_of(angles)[:, [2, 1, 0]] * sizes
    affine[:3, 3] = origin
    parent, factory = PARENTS.get(name, PARENTS["mr"]), NumpyFactory()
    header = factory.make_series_header(parent, ready(name))
    placed = PlacedImage(image, Grid.from_affine(affine, image.shape))
    series = factory.build(header, placed, frame_of_reference="New")  # in the parent's it would have to overlap it
    assert isinstance(series, DerivedSeries)
    datasets = written(series)
    check(datasets, image)
    wanted = grid_points(affine, image.shape)
    for dataset, points in zip(datasets, wanted, strict=True):
        if "ImagePositionPatient" in dataset:  # the secondary capture claims no place
            assert np.abs(patient_points(dataset) - points).max() < 1e-3
    assert_same(series)
    packed = series.written_in(syntax)
    assert_same(packed)
    for one, other in zip(written(packed), datasets, strict=True):
        assert np.array_equal(one.pixel_array, other.pixel_array)


@given(images([*INTEGERS, *FLOATS[1:]]), ANGLES, SIZES, st.sampled_from(ALL_48), st.sampled_from(sorted(PARENTS)))
def test_a_nifti_image_anywhere(image: npt.NDArray[Any], angles: Any, sizes: Any, axes: str, name: str) -> None:
    affine = np.eye(4)
    affine[:3, :3] = turn_of(angles) * sizes
    affine[:3, 3] = [-30, 20, 10]
    nifti = turned(nib.Nifti1Image(image, affine, dtype=image.dtype), axes)
    factory = NiftiFactory()
    header = factory.make_series_header(PARENTS[name], ready(name))
    series = factory.build(header, nifti, frame_of_reference="New")  # in the parent's it would have to overlap it
    assert isinstance(series, DerivedSeries)
    datasets = written(series)
    largest = float(np.abs(image.astype(np.float64)).max())
    rescaled = "RescaleSlope" in datasets[0]
    lost = 4 * np.finfo(np.float64).eps * largest
    assert_same_world(nifti, datasets, (step_of(datasets) if rescaled else 0.0) + lost)
    assert_same(series)
