"""A standardised uptake value (SUV) map of a PET series, by body weight."""

from datetime import datetime, timedelta

from pydicom.valuerep import DA, TM

from derived_series import Blueprint, StaticElement, derivation
from derived_series.errors import InvalidParent
from derived_series.pipelines import Input, Pipeline


class PETInBecquerels(Input):
    required_tags = ["PatientWeight", "RadiopharmaceuticalInformationSequence", "DecayCorrection"]
    required_values = {"Modality": "PT", "Units": "BQML"}


class SUVBodyWeight(Pipeline):
    """SUV by body weight, in g/ml, from a decay corrected PET series in Bq/ml."""

    name = "suv_body_weight"
    input = {"pet": PETInBecquerels}

    def blueprint_for(self, parent, parameters, blueprints):
        units = Blueprint(
            [
                StaticElement("Units", "GML"),
                StaticElement("SUVType", "BW"),
                StaticElement("SeriesDescription", "SUV body weight"),
            ]
        )
        text = "SUV by body weight: activity concentration x weight / injected activity"
        return blueprints["pet"] + units + derivation(text, "PixelByPixelMultiplication")

    def process(self, input_container):
        series = input_container["pet"]
        return series.voxels() * suv_factor(series)


def suv_factor(series):
    """g/ml per Bq/ml: weight in g over the injected activity at the time that the pixels are corrected to."""
    pivot = series.pivot
    if not pivot.RadiopharmaceuticalInformationSequence:
        raise InvalidParent("RadiopharmaceuticalInformationSequence (0054,0016) of the parent series is empty")
    isotope = pivot.RadiopharmaceuticalInformationSequence[0]
    dose = float(isotope.get("RadionuclideTotalDose") or 0)
    weight = float(pivot.PatientWeight or 0)
    if dose <= 0 or weight <= 0:
        raise InvalidParent(
            f"PatientWeight is {weight} kg and RadionuclideTotalDose {dose} Bq: both must be positive",
            remedy="correct them in the parent series",
        )
    return weight * 1000 / (dose * _decay(series, isotope))


def _decay(series, isotope):
    """The part of the injected activity that is left at the decay correction's reference time."""
    correction = str(series.pivot.DecayCorrection)
    if correction == "ADMIN":
        return 1.0
    if correction != "START":
        raise InvalidParent(f"DecayCorrection is {correction!r}: SUV needs START or ADMIN")
    half_life = float(isotope.get("RadionuclideHalfLife") or 0)
    if half_life <= 0:
        raise InvalidParent("the parent series has no RadionuclideHalfLife (0018,1075)")
    scan = _time_of(series.pivot, "Series")
    first = min(_time_of(instance, "Acquisition") for instance in series.instances)
    if scan > first:
        raise InvalidParent(
            f"SeriesTime {scan} is after the first acquisition {first}: it was changed and is no reference for decay",
            remedy="restore SeriesDate and SeriesTime of the acquisition",
        )
    injected = _injection(isotope, scan)
    return 2.0 ** (-(scan - injected).total_seconds() / half_life)


def _injection(isotope, scan):
    whole = isotope.get("RadiopharmaceuticalStartDateTime")
    if whole:
        return datetime.strptime(str(whole)[:14], "%Y%m%d%H%M%S")
    if not isotope.get("RadiopharmaceuticalStartTime"):
        raise InvalidParent("the parent series has no RadiopharmaceuticalStartTime (0018,1072)")
    injected = _time(f"{scan:%Y%m%d}", isotope.RadiopharmaceuticalStartTime)
    return injected - timedelta(days=1) if injected > scan else injected  # injected before midnight


def _time_of(dataset, what):
    date, time = dataset.get(f"{what}Date"), dataset.get(f"{what}Time")
    if not date or not time:
        raise InvalidParent(f"instance {dataset.SOPInstanceUID} has no {what}Date or {what}Time: SUV needs both")
    return _time(date, time)


def _time(date, time):
    return datetime.combine(DA(date), TM(time))
