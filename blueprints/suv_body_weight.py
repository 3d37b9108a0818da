"""A standardised uptake value (SUV) map of a PET series, by body weight."""

from datetime import timedelta

from derived_series import Blueprint, StaticElement, derivation
from derived_series.dicom.encoding.times import Moment, moment_of, read_date_and_time, read_datetime, zone_of
from derived_series.errors import InvalidParent
from derived_series.pipelines import Input, Pipeline

#: The range of possible doses: from a mouse's to yttrium-90 for a liver.
LEAST_BQ, MOST_BQ = 1e5, 1e10
#: A tenth of the weakest scans' dose per kg of weight.
LEAST_BQ_PER_KG = 2e4
#: The fewest decays in total that make an image, even of an isotope that lasts minutes.
LEAST_DECAYS_PER_KG = 2e7
#: Units of doses that are not in Bq.
UNITS_IN_BQ = {"kBq": 1e3, "MBq": 1e6, "GBq": 1e9}
#: The number of half-lives after which a thousandth of the dose is left, too little for an image.
MOST_HALF_LIVES = 10
#: The fraction of a half-life by which two times of one injection may differ, which changes the SUV by 0.7 %.
SAME_INJECTION = 0.01

INJECTED = "RadiopharmaceuticalStartDateTime or RadiopharmaceuticalStartTime"


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
    """The factor from Bq/ml to g/ml: the weight in g over the injected activity at the pixels' correction time."""
    isotope = _radiopharmaceutical(series.pivot)
    dose = float(isotope.get("RadionuclideTotalDose") or 0)
    weight = float(series.pivot.PatientWeight or 0)
    if dose <= 0 or weight <= 0:
        raise InvalidParent(
            f"PatientWeight is {weight} kg and RadionuclideTotalDose {dose} Bq: both must be positive",
            remedy="correct them in the parent series",
        )
    half_life = float(isotope.get("RadionuclideHalfLife") or 0)
    if not _makes_an_image(dose, weight, half_life):
        units = [
            unit
            for unit, bq in UNITS_IN_BQ.items()
            if dose * bq <= MOST_BQ and _makes_an_image(dose * bq, weight, half_life)
        ]
        meant = f"which can only be meant as {' or '.join(units)}" if units else "which is no dose in any unit"
        values = ", or ".join(f"{dose:.12g} {unit} are {dose * UNITS_IN_BQ[unit]:.0f} Bq" for unit in units)
        raise InvalidParent(
            f"RadionuclideTotalDose (0018,1074) is {dose:.12g} Bq for {weight:g} kg, {meant}",
            remedy=f"correct it in the parent series{': ' + values if values else ', or PatientWeight'}",
        )
    return weight * 1000 / (dose * _decay(series, isotope))


def _makes_an_image(dose, weight, half_life):
    """Whether a dose in Bq is enough for a weight in kg; the half-life in s is 0 if it is unknown."""
    per_kg = dose / weight
    lasting = per_kg * half_life >= LEAST_DECAYS_PER_KG or half_life <= 0
    return dose >= LEAST_BQ and per_kg >= LEAST_BQ_PER_KG and lasting


def _radiopharmaceutical(pivot):
    items = pivot.RadiopharmaceuticalInformationSequence
    if not items:
        raise InvalidParent("RadiopharmaceuticalInformationSequence (0054,0016) of the parent series is empty")
    if len(items) > 1:
        names = ", ".join(str(item.get("Radiopharmaceutical") or "without a name") for item in items)
        raise InvalidParent(
            f"the parent series has {len(items)} radiopharmaceuticals ({names}) in "
            "RadiopharmaceuticalInformationSequence (0054,0016): nothing tells which of them a voxel's activity is of",
            remedy="SUV is for one radiopharmaceutical: leave the item of the one that is imaged",
        )
    return items[0]


def _decay(series, isotope):
    """The fraction of the injected activity that is left at the decay correction's reference time."""
    correction = str(series.pivot.DecayCorrection)
    if correction not in ("START", "ADMIN"):
        raise InvalidParent(f"DecayCorrection is {correction!r}: SUV needs START or ADMIN")
    half_life = float(isotope.get("RadionuclideHalfLife") or 0)
    if correction == "ADMIN":
        _check_known_times(series, isotope, half_life)
        return 1.0
    if half_life <= 0:
        raise InvalidParent("the parent series has no RadionuclideHalfLife (0018,1075)")
    scan = _time_of(series.pivot, "Series")
    first = min((_time_of(instance, "Acquisition") for instance in series.instances), key=lambda moment: moment.at)
    if scan.at > first.at + first.lasts:
        raise InvalidParent(
            f"SeriesTime {_clock_text(scan, series)} is after the first acquisition {_clock_text(first, series)}: "
            "it was changed and is not a reference for decay",
            remedy="restore SeriesDate and SeriesTime of the acquisition",
        )
    injected = _injection(isotope, scan, zone_of(series.pivot), half_life)
    if injected is None:
        raise InvalidParent(
            "the parent series has no RadiopharmaceuticalStartTime (0018,1072) or RadiopharmaceuticalStartDateTime "
            "(0018,1078) that tells when the dose was injected"
        )
    _check_injection(series, injected, scan, half_life)
    return 2.0 ** (-(scan.at - injected.at).total_seconds() / half_life)


def _check_known_times(series, isotope, half_life):
    """Refuse impossible times, even though pixels that are corrected to the injection do not need its time."""
    scan = moment_of(series.pivot, "Series")
    if scan is not None and half_life > 0:
        injected = _injection(isotope, scan, zone_of(series.pivot), half_life)
        if injected is not None:
            _check_injection(series, injected, scan, half_life)


def _injection(isotope, scan, zone, half_life):
    """The time of the injection, on the clock of the series; None if it is unknown.

    A time without a date is on the scan's day, or on the day before if it would be after the scan.
    """
    whole = read_datetime(isotope.get("RadiopharmaceuticalStartDateTime"), zone)
    clock = isotope.get("RadiopharmaceuticalStartTime")
    if whole is None or whole.lasts > timedelta(days=1):  # only a year or a month
        shown = read_date_and_time(f"{scan.at:%Y%m%d}", clock, zone)
        if shown is not None and shown.at > scan.at + scan.lasts:
            shown = Moment(shown.at - timedelta(days=1), shown.lasts)
    else:
        shown = read_date_and_time(f"{whole.at.astimezone(scan.at.tzinfo):%Y%m%d}", clock, zone)
    if whole is None:
        return shown
    if shown is None:
        return None if whole.lasts >= timedelta(days=1) else whole
    tolerance = timedelta(seconds=max(1.0, SAME_INJECTION * half_life))
    if not whole.agrees(shown, tolerance):
        raise InvalidParent(
            f"RadiopharmaceuticalStartDateTime (0018,1078) {isotope.RadiopharmaceuticalStartDateTime} and "
            f"RadiopharmaceuticalStartTime (0018,1072) {clock} contradict each other: nothing tells which of them is "
            "the time of the injection",
            remedy="correct them in the parent series, or remove the one that is wrong",
        )
    return shown if shown.lasts < whole.lasts else whole


def _check_injection(series, injected, scan, half_life):
    """Require an injection that can be this scan's. :raises InvalidParent: it cannot."""
    begun = scan
    if series.volumes > 1:  # of a dynamic scan, which may begin before the injection
        begun = max((_time_of(one, "Acquisition") for one in series.instances), key=lambda moment: moment.at)
    if injected.at > begun.at + begun.lasts:
        raise InvalidParent(
            f"the dose was injected at {_clock_text(injected, series)} ({INJECTED}), after the scan began at "
            f"{_clock_text(scan, series)} (SeriesDate and SeriesTime)",
            remedy="correct the times in the parent series",
        )
    past = (scan.at - injected.at).total_seconds() / half_life
    if past > MOST_HALF_LIVES:
        raise InvalidParent(
            f"the dose was injected at {_clock_text(injected, series)} ({INJECTED}), {past:.0f} half-lives of "
            f"{half_life:g} s before the scan at {_clock_text(scan, series)}: nothing of it would be left",
            remedy="correct the times in the parent series",
        )


def _clock_text(moment, series):
    """A time as the series' clock shows it."""
    return f"{moment.at:%Y-%m-%d %H:%M:%S}" + (f"{moment.at:%z}" if zone_of(series.pivot) else "")


def _time_of(dataset, what):
    moment = moment_of(dataset, what)
    if moment is None:
        raise InvalidParent(f"instance {dataset.SOPInstanceUID} has no {what}Date or {what}Time: SUV needs both")
    return moment
