"""Dates and times: read in all their forms, written on the clock that the parent's are on."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from building import LIBRARY, build, parent_of, ready, written
from derived_series import BuildContext, NumpyFactory, ParentSeries, StaticElement
from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.encoding.times import (
    moment_of,
    read_date_and_time,
    read_datetime,
    split_datetime,
    zone_of,
)
from derived_series.dicom.factories.kinds import EncapsulatedPdfFactory
from derived_series.dicom.objects.rejection_note import Rejection, rejection_note
from derived_series.dicom.series.finished import from_user_datasets
from derived_series.errors import InvalidParent
from multiframe import enhanced
from parents_of_kinds import image_for, phantom_for
from phantoms import ct_phantom, mr_phantom, pet_phantom
from test_pipelines import run

TOKYO = timezone(timedelta(hours=9))
NOON = datetime(2024, 3, 12, 12, tzinfo=UTC)


def at(text: str) -> datetime:
    """ISO text as an instant of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "zone", "instant", "lasts"),
    [
        ("20240312093000", None, "2024-03-12T09:30:00", 0),
        ("20240312093000.5", None, "2024-03-12T09:30:00.500", 0),
        ("202403120930", None, "2024-03-12T09:30:00", 60),
        ("2024031209", None, "2024-03-12T09:00:00", 3600),
        ("20240312", None, "2024-03-12T00:00:00", 86400),
        ("20240312093000", TOKYO, "2024-03-12T00:30:00", 0),
        ("20240312093000+0100", TOKYO, "2024-03-12T08:30:00", 0),
        ("202403120930-0530", TOKYO, "2024-03-12T15:00:00", 60),
        ("20240312003000+0900", UTC, "2024-03-11T15:30:00", 0),
        ("20240312093000+0100", None, "2024-03-12T09:30:00", 0),  # where no zone is named it is that of the offset
        ("20161231235960", None, "2016-12-31T23:59:59", 0),
        ("20240312093000 ", None, "2024-03-12T09:30:00", 0),
    ],
)
def test_every_form_of_a_dt(text: str, zone: timezone | None, instant: str, lasts: int) -> None:
    moment = read_datetime(text, zone)
    assert moment is not None
    assert (moment.at.astimezone(UTC), moment.lasts) == (at(instant), timedelta(seconds=lasts))


@pytest.mark.parametrize("text", ["", None, "2024031", "20241312", "noon", "20240312093000+01", "20240312093000 x"])
def test_what_is_not_a_dt_is_none(text: str | None) -> None:
    assert read_datetime(text, None) is None


@pytest.mark.parametrize(
    ("day", "clock", "instant"),
    [
        ("20240312", "093000.25", "2024-03-12T09:30:00.250"),
        ("20240312", "0930", "2024-03-12T09:30:00"),
        ("20240312", "09", "2024-03-12T09:00:00"),
        ("2024.03.12", "09:30:00", "2024-03-12T09:30:00"),
        ("20161231", "235960", "2016-12-31T23:59:59"),
        ("20240312", "", None),
        ("", "0930", None),
        ("20240312", "9:30", None),
        ("20240230", "0930", None),
    ],
)
def test_every_form_of_a_da_and_a_tm(day: str, clock: str, instant: str | None) -> None:
    moment = read_date_and_time(day, clock, None)
    assert (None if moment is None else moment.at) == (None if instant is None else at(instant))


@pytest.mark.parametrize(
    ("text", "zone", "parts"),
    [
        ("20240312093000.50", None, ("20240312", "093000.50")),
        ("20240312093000.50+0100", TOKYO, ("20240312", "173000.50")),
        ("202403120930", TOKYO, ("20240312", "0930")),
        ("20240312200000+0000", TOKYO, ("20240313", "050000")),
        ("2024031209", None, ("20240312", "09")),
        ("20240312", None, None),
    ],
)
def test_a_dt_as_date_and_time_of_the_same_clock(text: str, zone: timezone | None, parts: Any) -> None:
    assert split_datetime(text, zone) == parts


@pytest.mark.parametrize(
    ("text", "hours"), [("+0530", 5.5), ("-0800", -8), ("+1400", 14), ("+9900", None), ("x", None)]
)
def test_the_zone_of_a_dataset(text: str, hours: float | None) -> None:
    dataset = Dataset()
    dataset.TimezoneOffsetFromUTC = text
    assert zone_of(dataset) == (None if hours is None else timezone(timedelta(hours=hours)))


def test_frames_of_an_enhanced_parent_are_on_the_clock_of_its_zone() -> None:
    source = enhanced(mr_phantom(3, 8, 8))
    source.TimezoneOffsetFromUTC = "+0900"
    for item in source.PerFrameFunctionalGroupsSequence:
        item.FrameContentSequence[0].FrameAcquisitionDateTime = "20240312200000.00+0000"
    (first, *_) = parent_of([source]).instances
    assert (first.AcquisitionDate, first.AcquisitionTime) == ("20240313", "050000.00")


@contextmanager
def server_in(name: str) -> Iterator[None]:
    """The process in another time zone, as servers are."""
    former = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ")
        if former is not None:
            os.environ["TZ"] = former
        time.tzset()


def in_tokyo(phantoms: list[Dataset]) -> ParentSeries:
    for dataset in phantoms:
        dataset.TimezoneOffsetFromUTC = "+0900"
    return parent_of(phantoms)


def check_making(dataset: Dataset, when: datetime, *, series: bool = True) -> None:
    """All times of the making are ``when``, in the zone that the dataset names, which is the parent's."""
    assert dataset.TimezoneOffsetFromUTC == "+0900"
    assert (dataset.StudyDate, dataset.StudyTime) == ("20240312", "102000.00")
    names = [*(["Series"] if series else []), "Content", "InstanceCreation"]
    pairs = [(f"{name}Date", f"{name}Time") for name in names] + [("DateOfSecondaryCapture", "TimeOfSecondaryCapture")]
    checked = 0
    for day, clock in pairs:
        if dataset.get(day):
            checked += 1
            moment = read_date_and_time(dataset[day].value, dataset[clock].value, zone_of(dataset))
            assert moment is not None and abs(moment.at - when) < timedelta(minutes=5), day
    assert checked >= 2
    for item in dataset.get("ContributingEquipmentSequence") or ():
        contributed = read_datetime(item.ContributionDateTime, zone_of(dataset))
        assert contributed is not None and abs(contributed.at - when) < timedelta(minutes=5)


KINDS = sorted(
    set(LIBRARY.blueprints) - {"gaussian_smoothing", "suv_body_weight", "encapsulated_pdf", "measurement_report"}
)


@pytest.mark.wide(quick=8)
@pytest.mark.parametrize("server", ["UTC", "America/New_York"])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_made_at_the_time_of_the_parents_zone(name: str, server: str) -> None:
    parent = in_tokyo(phantom_for(name, 3, 8, 8))
    image = image_for(name, parent)
    with server_in(server):
        for now in (NOON, NOON.astimezone().replace(tzinfo=None)):  # the same moment, on this machine's clock
            series = build(parent, image, blueprint=name, context=BuildContext(now))
            for dataset in written(series):
                check_making(dataset, NOON, series="pet" not in name)
    if "pet" in name:
        assert dataset.SeriesTime == "103000.00", "the pixels are decay corrected to it"


def test_a_document_is_made_at_the_time_of_the_parents_zone() -> None:
    parent, factory = in_tokyo(ct_phantom(2, 8, 8)), EncapsulatedPdfFactory()
    header = factory.make_series_header(parent, ready("encapsulated_pdf"), context=BuildContext(NOON))
    (dataset,) = written(factory.build(header, b"%PDF-1.4 ..."))
    check_making(dataset, NOON)


def test_a_rejection_note_is_made_at_the_time_of_the_rejecteds_zone() -> None:
    (instance,) = in_tokyo(ct_phantom(1, 8, 8)).instances
    rejection = Rejection(codes.DCM.RejectedForQualityReasons, codes.DCM.SoftwareFailure, "Eva")
    check_making(rejection_note(instance, ["1.2.3"], rejection, BuildContext(NOON)), NOON)


def test_a_blueprint_cannot_put_the_parents_times_into_another_zone() -> None:
    parent = in_tokyo(ct_phantom(2, 8, 8))
    series = build(parent, None, Blueprint([StaticElement("TimezoneOffsetFromUTC", "+0100")]))
    assert written(series)[0].TimezoneOffsetFromUTC == "+0900"
    assert any("TimezoneOffsetFromUTC" in warning and "parent's" in warning for warning in series.warnings)


def finished(parent: ParentSeries, how: str) -> list[Dataset]:
    """Finished datasets as user code makes them."""
    if how == "built by the factory":
        header = NumpyFactory().make_series_header(parent, ready("ct"), context=BuildContext())
        return NumpyFactory().build_from_header(header, parent.voxels())
    copies = [copy.deepcopy(instance) for instance in parent.instances]
    if how != "copied":
        clock = datetime.now()
        for dataset in copies:
            for name in ("Series", "Content", "InstanceCreation"):
                setattr(dataset, f"{name}Date", f"{clock:%Y%m%d}")
                setattr(dataset, f"{name}Time", f"{clock:%H%M%S.%f}")
            item = Dataset()
            item.ContributionDateTime = f"{clock:%Y%m%d%H%M%S}"
            dataset.ContributingEquipmentSequence = [item]
            if how == "of this machine, without a zone":
                del dataset.TimezoneOffsetFromUTC
    return copies


@pytest.mark.parametrize(
    "how", ["built by the factory", "copied", "of this machine", "of this machine, without a zone"]
)
def test_finished_datasets_are_made_at_the_time_of_the_parents_zone(how: str) -> None:
    parent = in_tokyo(ct_phantom(2, 8, 8))
    with server_in("America/New_York"):
        series = from_user_datasets(finished(parent, how), parent, BuildContext())
    for dataset in written(series):
        check_making(dataset, datetime.now(UTC))


def test_a_finished_datasets_own_times_stay() -> None:
    parent = in_tokyo(ct_phantom(1, 8, 8))
    (dataset,) = finished(parent, "copied")
    dataset.ContentDate, dataset.ContentTime = "20200101", "120000"
    dataset.AcquisitionTime = "101112"
    (derived,) = written(from_user_datasets([dataset], parent, BuildContext()))
    assert (derived.ContentDate, derived.ContentTime, derived.AcquisitionTime) == ("20200101", "120000", "101112")


# ---- the injection


def suv(zone: str | None = None, half_life: float = 6586.2, **changes: Any) -> float:
    """The pipeline's factor over that of an injection at the time of the scan."""
    datasets = pet_phantom(3, 8, 8)
    for dataset in datasets:
        if zone:
            dataset.TimezoneOffsetFromUTC = zone
        dose = dataset.RadiopharmaceuticalInformationSequence[0]
        dose.RadionuclideHalfLife = str(half_life)
        for keyword, value in changes.items():
            owner = dose if keyword.startswith("Radio") else dataset
            if value is None:
                delattr(owner, keyword)
            else:
                setattr(owner, keyword, value)
    parent = parent_of(datasets)
    values = np.stack([d.pixel_array * float(d.RescaleSlope) for d in written(run("suv_body_weight", parent))])
    return float(values.max() / parent.voxels().max() / (72500 / 370e6))


@pytest.mark.wide(quick=5)
@pytest.mark.parametrize(
    ("zone", "start", "clock", "minutes"),
    [
        (None, "20240312093000", "093000", 60),
        (None, "202403120940", None, 50),
        (None, "2024031209", None, 90),
        (None, "2024031209", "0940", 50),  # the one that says more, where they agree
        (None, "20240312", "0945", 45),
        (None, "202403", "0945", 45),
        (None, "2024", "234500", 645),
        (None, None, "0945", 45),
        (None, None, "10", 30),
        (None, None, "234500", 645),
        ("+0100", "20240312083000+0000", "093000", 60),
        ("+0900", "20240312003000.0+0000", None, 60),
        ("-0500", "20240312140000+0000", "0900", 90),
        ("+0100", "20240312094500", "0945", 45),
        (None, "20240312093000+0900", "093000", 60),
    ],
)
def test_the_time_of_injection_in_every_form(zone: str | None, start: Any, clock: Any, minutes: float) -> None:
    changes = {"RadiopharmaceuticalStartDateTime": start, "RadiopharmaceuticalStartTime": clock}
    assert suv(zone, **changes) == pytest.approx(2 ** (minutes * 60 / 6586.2), rel=1e-3)


def test_a_scan_after_midnight_of_an_injection_before_it() -> None:
    suvs = suv(
        "+0900",
        SeriesTime="003000",
        AcquisitionTime="003000",
        RadiopharmaceuticalStartDateTime="20240311143000+0000",
        RadiopharmaceuticalStartTime="233000",
    )
    assert suvs == pytest.approx(2 ** (3600 / 6586.2), rel=1e-3)


def test_three_days_of_zirconium_are_right() -> None:
    changes = {"RadiopharmaceuticalStartDateTime": "20240309103000", "RadiopharmaceuticalStartTime": "103000"}
    assert suv(half_life=282240, **changes) == pytest.approx(2 ** (3 * 86400 / 282240), rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"RadiopharmaceuticalStartDateTime": "20240312113000", "RadiopharmaceuticalStartTime": "113000"},
            "2024-03-12 11:30:00 .* after the scan began at 2024-03-12 10:30:00",
        ),
        (
            {"RadiopharmaceuticalStartDateTime": "20190312093000", "RadiopharmaceuticalStartTime": "093000"},
            "2019-03-12 09:30:00 .* half-lives .* scan at 2024-03-12 10:30:00",
        ),
        (
            {"RadiopharmaceuticalStartDateTime": None, "RadiopharmaceuticalStartTime": "113000"},
            "2024-03-11 11:30:00 .* 13 half-lives",
        ),
        (
            {"RadiopharmaceuticalStartDateTime": "20240312093000", "RadiopharmaceuticalStartTime": "083000"},
            "20240312093000 and RadiopharmaceuticalStartTime .* 083000 contradict each other",
        ),
        (
            {"RadiopharmaceuticalStartDateTime": "202401", "RadiopharmaceuticalStartTime": "093000"},
            "202401 and RadiopharmaceuticalStartTime .* 093000 contradict each other",
        ),
        (
            {
                "RadiopharmaceuticalStartDateTime": "20240312113000",
                "RadiopharmaceuticalStartTime": "113000",
                "DecayCorrection": "ADMIN",
            },
            "after the scan began",
        ),
        ({"RadionuclideTotalDose": "370"}, "370 Bq for 72.5 kg, which can only be meant as MBq.*370000000 Bq"),
        ({"RadionuclideTotalDose": "370000"}, "370000 Bq for 72.5 kg, which can only be meant as kBq.*370000000 Bq"),
        ({"RadionuclideTotalDose": "37000"}, "can only be meant as kBq.*37000 kBq are 37000000 Bq"),
        ({"RadionuclideTotalDose": "0.37"}, "can only be meant as GBq.*370000000 Bq"),
        ({"RadionuclideTotalDose": "5000"}, "meant as kBq or MBq.*5000000 Bq, or 5000 MBq are 5000000000 Bq"),
        ({"RadionuclideTotalDose": "2200000", "RadionuclideHalfLife": "75"}, "2200000 Bq .*only be meant as kBq"),
        ({"RadionuclideTotalDose": "1e-9"}, "which is no dose in any unit.*or PatientWeight"),
        ({"RadiopharmaceuticalStartDateTime": "2024", "RadiopharmaceuticalStartTime": None}, "tells when the dose"),
    ],
)
def test_an_injection_that_cannot_be_this_scans_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidParent, match=words):
        suv(**changes)


@pytest.mark.parametrize(
    ("dose", "half_life", "what"),
    [
        ("20000000", 6586, "FDG on a scanner of the whole body"),
        ("18500000", 282240, "zirconium-89"),
        ("50000000", 122, "oxygen-15"),
        ("2200000000", 75, "rubidium-82"),
    ],
)
def test_doses_that_are_given_are_taken(dose: str, half_life: float, what: str) -> None:
    """However few or many Bq they are."""
    changes = {"RadiopharmaceuticalStartDateTime": "20240312102900", "RadiopharmaceuticalStartTime": "102900"}
    expected = 370e6 / float(dose) * 2 ** (60 / half_life)
    assert suv(half_life=half_life, RadionuclideTotalDose=dose, **changes) == pytest.approx(expected, rel=1e-3), what


def test_several_radiopharmaceuticals_are_refused() -> None:
    datasets = pet_phantom(2, 8, 8)
    for dataset in datasets:
        second = copy.deepcopy(dataset.RadiopharmaceuticalInformationSequence[0])
        second.Radiopharmaceutical = "Florbetapir"
        dataset.RadiopharmaceuticalInformationSequence.append(second)
    with pytest.raises(InvalidParent, match="2 radiopharmaceuticals .*Fluorodeoxyglucose, Florbetapir"):
        run("suv_body_weight", parent_of(datasets))


def test_a_moment_of_a_dataset() -> None:
    (dataset,) = ct_phantom(1, 8, 8)
    moment = moment_of(dataset, "Series")
    assert moment is not None and moment.at == at("2024-03-12T10:30:00")
    del dataset.AcquisitionDate
    dataset.AcquisitionDateTime = "20240312110000"
    moment = moment_of(dataset, "Acquisition")
    assert moment is not None and moment.at == at("2024-03-12T11:00:00")
    assert moment_of(Dataset(), "Series") is None
