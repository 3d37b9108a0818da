"""Matching values against the conditions of rules, with the reasons if they do not match."""

from __future__ import annotations

import math
from collections.abc import Mapping

from derived_series.jobs.rules.series_conditions import Condition, Match, NumberCondition, Scalar
from derived_series.shortening import shortened

#: The most characters of a value that a reason quotes.
_VALUE_CHARACTERS = 60

#: Texts by the name of a tag or metadata; None if it is missing.
Values = Mapping[str, str | None]


def number_name(name: str) -> str:
    """The name under which values contain a number that a pipeline returned with the series."""
    return f"Values.{name}"


def unit_name(name: str) -> str:
    """The name under which values contain the unit of such a number."""
    return f"Unit of {number_name(name)}"


def lacking_numbers(match: Match, values: Values) -> list[str]:
    """The problems with the numbers of a series that matches otherwise: missing, not a number, or in another unit."""
    if _unlike_texts(match, values):
        return []
    return _no_numbers(match, values)


def refusal(match: Match, values: Values) -> str | None:
    """Why values do not match, with all reasons; None if they match."""
    reasons_against = _unlike_texts(match, values)
    for name, number in match.values.items():
        if why := _unlike_number(number, name, values):
            reasons_against.append(f"{number_name(name)} {why}")
    reasons_against += [why for inner in match.all if (why := refusal(inner, values))]
    if match.any is not None:
        reasons = [refusal(inner, values) for inner in match.any]
        if None not in reasons:
            reasons_against.append("none of Any: " + " / ".join(f"({why})" for why in reasons))
    if match.not_ is not None:  # nothing can be said about a missing number
        reasons_against += _no_numbers(match.not_, values)
    if match.not_ is not None and refusal(match.not_, values) is None:
        names = dict.fromkeys(name for name, _ in match.not_.each_condition())
        names |= dict.fromkeys(number_name(name) for name, _ in match.not_.each_number())
        reasons_against.append("Not: " + ", ".join(f"{name} is {_shown(values.get(name))}" for name in names))
    return "; ".join(reasons_against) or None


def _unlike_texts(match: Match, values: Values) -> list[str]:
    """The reasons from the conditions on texts."""
    return [f"{name} {why}" for name, each in match.conditions.items() if (why := _unlike(each, values.get(name)))]


def _unlike(condition: Condition, value: str | None) -> str | None:
    """Why a value does not meet a condition; None if it does."""
    there = value is not None and value != ""
    if condition.exists is not None and condition.exists != there:
        return "is missing" if condition.exists else f"is there: {_shown(value)}"
    wishes = _wishes(condition)
    if not wishes:
        return None
    if value is None or not there:
        return "is missing"
    parts = list(dict.fromkeys([value, *value.split("\\")]))
    if any(all(_fits(condition, wish, part) for wish in wishes) for part in parts):
        return None
    return f"is {_shown(value)}, wanted {' and '.join(_wish_text(condition, wish) for wish in wishes)}"


def _unlike_number(condition: NumberCondition, name: str, values: Values) -> str | None:
    """Why a number does not meet a condition; None if it does."""
    text = values.get(number_name(name))
    if condition.exists is not None and condition.exists != (text is not None):
        return "is missing" if condition.exists else f"is there: {_shown(text)}"
    if condition.exists is False:
        return None
    number, why = _number_of(text)
    if number is None:
        return why
    unit = values.get(unit_name(name)) or ""
    if condition.unit is not None and condition.unit != unit:
        return f"is in {_shown(unit)}, wanted {_shown(condition.unit)}"
    wishes = (
        (condition.equals, "", number == condition.equals),
        (condition.in_, "one of ", number in (condition.in_ or ())),
        (condition.min, "at least ", condition.min is not None and number >= condition.min),
        (condition.max, "at most ", condition.max is not None and number <= condition.max),
    )
    missed = [f"{words}{wanted}" for wanted, words, holds in wishes if wanted is not None and not holds]
    return f"is {text}, wanted {' and '.join(missed)}" if missed else None


def _no_numbers(match: Match, values: Values) -> list[str]:
    """The problems with the compared numbers: missing, not a number, or in a unit that no condition has."""
    conditions: dict[str, list[NumberCondition]] = {}
    for name, each in match.each_number():
        conditions.setdefault(name, []).append(each)
    reasons = {number_name(name): _not_comparable(each, name, values) for name, each in conditions.items()}
    return [f"{name} {why}" for name, why in reasons.items() if why]


def _not_comparable(conditions: list[NumberCondition], name: str, values: Values) -> str | None:
    """Why a number cannot be compared; None if it can."""
    number, why = _number_of(values.get(number_name(name)))
    if number is None:
        return why if any(each.exists is None for each in conditions) else None
    units = {each.unit for each in conditions if each.exists is not False}
    unit = values.get(unit_name(name)) or ""
    if not units or None in units or unit in units:
        return None
    return f"is in {_shown(unit)}, wanted {' or '.join(map(_shown, sorted(filter(None, units))))}"


def _number_of(text: str | None) -> tuple[float | None, str | None]:
    """Read a number: (number, None), or (None, what is wrong)."""
    if text is None:
        return None, "is missing"
    try:
        number = float(text)
    except ValueError:
        return None, "is not a number"
    return (number, None) if math.isfinite(number) else (None, "is not a number")


def _wishes(condition: Condition) -> list[str]:
    return [name for name in ("equals", "in_", "regex", "min", "max") if getattr(condition, name) is not None]


def _fits(condition: Condition, wish: str, part: str) -> bool:
    wanted = getattr(condition, wish)
    if wish == "equals":
        return _equal(part, wanted)
    if wish == "in_":
        return any(_equal(part, each) for each in wanted)
    if wish == "regex":
        return condition.has_match(part)
    order = _order(part, wanted)
    return order is not None and (order >= 0 if wish == "min" else order <= 0)


def _equal(part: str, wanted: Scalar) -> bool:
    return part == wanted if isinstance(wanted, str) else _order(part, wanted) == 0


def _order(part: str, wanted: Scalar) -> int | None:
    """Compare a part with the wanted value: -1, 0 or 1; None if they cannot be compared."""
    if isinstance(wanted, str):
        return (part > wanted) - (part < wanted)
    try:
        number = float(part)
    except ValueError:
        return None
    return None if number != number else (number > wanted) - (number < wanted)


def _wish_text(condition: Condition, wish: str) -> str:
    wanted = getattr(condition, wish)
    if wish == "in_":
        return " or ".join(map(_shown, wanted))
    words = {"equals": "", "regex": "a match of ", "min": "at least ", "max": "at most "}
    return words[wish] + _shown(wanted)


def _shown(value: Scalar | None) -> str:
    if value is None:
        return "missing"
    if not isinstance(value, str):
        return str(value)
    return f'"{shortened(value, _VALUE_CHARACTERS)}"'
