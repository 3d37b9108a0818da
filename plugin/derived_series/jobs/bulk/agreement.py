"""Checking whether the figures of two compared series are within limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from derived_series.jobs.requests.bulk import AgreementLimits

#: What figures are of.
IMAGES, LABELS, NOTHING = "Images", "Labels", "Nothing"
_NO_LIMITS = dict.fromkeys(("Correlation", "RelativeDifference", "LargestDifference", "Dice"))


def disagreements(figures: Mapping[str, Any], limits: AgreementLimits) -> list[str]:
    """Why two series do not agree; empty if they do.

    :param figures: of one output: see ``review.comparison``.
    """
    if figures.get("Problem"):
        return [str(figures["Problem"])]
    if figures.get("Geometry"):
        return [f"geometry: {figures['Geometry']}"]
    if figures["Kind"] == LABELS:
        return _of_labels(figures["Dice"], limits.dice)
    return _of_images(figures, limits)


def held_limits(figures: Mapping[str, Any], limits: AgreementLimits) -> list[str]:
    """The limits that were checked, each with whether it holds.

    :param figures: of one output: see ``review.comparison``.
    """
    if figures.get("Problem") or figures.get("Geometry"):
        return []
    if figures["Kind"] == LABELS:
        asked = {"Dice": limits.dice}
    else:
        asked = {
            "Correlation": limits.correlation,
            "RelativeDifference": limits.relative_difference,
            "LargestDifference": limits.largest_difference,
        }
    lines = []
    for name, limit in asked.items():
        if limit is None or name not in figures:
            lines.append(f"{name} was not looked at")
            continue
        alone = AgreementLimits.model_validate({**_NO_LIMITS, name: limit})
        lines.append(f"{name} {'does not hold' if disagreements(figures, alone) else 'holds'}")
    return lines


def agree(comparison: Mapping[str, Mapping[str, Any]], limits: AgreementLimits) -> bool:
    """Whether all outputs agree. :param comparison: the figures by output."""
    return bool(comparison) and not any(disagreements(figures, limits) for figures in comparison.values())


def _of_labels(dice: Mapping[str, float | None], least: float | None) -> list[str]:
    if least is None:
        return []
    return [
        f"Dice of label {label} is {value:.4f}, below {least:g}"
        for label, value in dice.items()
        if value is not None and value < least
    ]


def _of_images(figures: Mapping[str, Any], limits: AgreementLimits) -> list[str]:
    correlation, difference = figures["Correlation"], figures["LargestDifference"]
    wrong = []
    if limits.correlation is not None:
        if correlation is None:  # one of them has a single value
            wrong += [] if difference == 0 else ["they have no correlation: one of them has a single value"]
        elif correlation < limits.correlation:
            wrong.append(f"the correlation is {correlation:.5f}, below {limits.correlation:g}")
    if limits.relative_difference is not None and "RelativeDifference" in figures:
        relative = figures["RelativeDifference"]
        if relative is None:  # the former has a single value
            wrong += [] if difference == 0 else ["there is no relative difference: the old one has a single value"]
        elif relative > limits.relative_difference:
            wrong.append(f"the relative difference is {relative:.5f}, above {limits.relative_difference:g}")
    if limits.largest_difference is not None and difference > limits.largest_difference:
        wrong.append(f"the largest difference is {difference:g}, above {limits.largest_difference:g}")
    return wrong
