"""The frame of reference of an image (PS3.3 C.7.4.1), and whether the image overlaps the series in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from derived_series.dicom.blueprints.environment import SeriesEnvironment
from derived_series.dicom.grid import Grid
from derived_series.dicom.image.frame_of_reference import FrameOfReference
from derived_series.dicom.image.overlap import apart, box, not_overlapping, off_planes, partly_outside
from derived_series.dicom.image.placement import OtherInput, Placement, every_source, place
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import Advice, Choice, GeometryError

#: The coordinates of an image: the parent's (or those of the input that it names), or new ones.
FrameChoice = Literal["Parent", "New"]


def require_patient_space(template: str) -> None:
    """Refuse an image in a template's coordinates. :raises GeometryError: always."""
    if template:
        raise GeometryError(
            f"the image is in {template}, which are not the coordinates of the parent series",
            remedy="bring it back to the patient's space, or choose a frame of reference of its own",
            advice=Advice(Choice.NEW_FRAME),
        )


def in_space(placement: Placement, env: SeriesEnvironment, choice: FrameChoice, *, placed: bool) -> Placement:
    """Settle the frame of reference and the sources of the slices, and check that the image overlaps its series.

    :param placed: whether the blueprint writes a place; if not, the image may be anywhere.
    :raises GeometryError: the image does not overlap the series, is in a template's space, or names an unknown input.
    """
    if choice == "New":
        return _in_its_own(placement, env)
    if placed:
        require_patient_space(placement.template)
    parent, on = env.parent, _named(placement.on, env)
    frame = FrameOfReference.of(on)
    if placement.template or frame.uid != FrameOfReference.of(parent).uid:
        placement = _elsewhere(placement, parent)
    warnings = [*placement.warnings]
    if placed and placement.grid is not None and not placement.on_parent_grid:
        warnings += _beside(placement.grid, on, "the parent series" if on is parent else f"the input {placement.on!r}")
    return replace(
        placement,
        frame=None if on is parent else frame,
        others=tuple(_other(series, placement, on) for series in env.others),
        warnings=tuple(warnings),
    )


def _in_its_own(placement: Placement, env: SeriesEnvironment) -> Placement:
    if placement.grid is None:
        raise GeometryError(
            "the image is to have a frame of reference of its own, but nothing tells where it is",
            remedy="give an image with an affine and a blueprint with geometry, or leave it in the parent's",
            advice=Advice(Choice.PARENT_FRAME),
        )
    count = len(placement.sources)
    return replace(
        _elsewhere(placement, env.parent),
        frame=FrameOfReference(env.context.shared_uid("frame of reference")),
        others=tuple(OtherInput(series, every_source(series, count)) for series in env.others),
    )


def _elsewhere(placement: Placement, parent: ParentSeries) -> Placement:
    """For an image without a place among the parent's slices: it comes from all of them."""
    return replace(placement, on_parent_grid=False, sources=every_source(parent, len(placement.sources)))


def _named(name: str | None, env: SeriesEnvironment) -> ParentSeries:
    if name is None:
        return env.parent
    if name not in env.inputs:
        there = ", ".join(env.inputs) or "none that have a name"
        raise GeometryError(
            f"the image is said to be on the input {name!r}; the inputs are {there}",
            remedy='name one of the pipeline\'s inputs: PlacedImage(array, grid, on="fixed")',
        )
    return env.inputs[name]


def _beside(grid: Grid, on: ParentSeries, whose: str) -> list[str]:
    """Warnings about the place of an image. :raises GeometryError: it does not overlap the series."""
    of = on.grid
    if of is None or grid == of:
        return []
    image, series = box(grid), box(of)
    if apart(image, series):
        raise not_overlapping(image, series, whose)
    if place(grid, on).on_parent_grid:
        return []
    warning = off_planes(grid, of, whose) or partly_outside(grid, of, whose)
    return [warning] if warning else []


def _other(series: ParentSeries, placement: Placement, on: ParentSeries) -> OtherInput:
    """The sources in another input: its slices at each place, or all of it in another frame of reference."""
    count = len(placement.sources)
    same_frame = FrameOfReference.of(series).uid == FrameOfReference.of(on).uid
    if placement.grid is None or series.grid is None or not same_frame:
        return OtherInput(series, every_source(series, count))
    there = place(placement.grid, series, placement.volumes)
    return OtherInput(series, there.sources, there.on_parent_grid)
