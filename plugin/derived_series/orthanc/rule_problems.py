"""Finds problems of a rule besides its form: names of things that do not exist, or wrong parameters."""

from __future__ import annotations

from typing import Any

from derived_series.errors import InvalidRequest, NotFound
from derived_series.jobs.messages import Catalogue
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.jobs.rules.model import Rule
from derived_series.orthanc.destinations import Destinations
from derived_series.orthanc.parameters import check_parameters


def problems_of_rule(rule: Rule, catalogue: Catalogue, destinations: Destinations) -> list[str]:
    """Why each of its jobs would fail: a name that does not exist, or a wrong parameter."""
    problems = problems_of_names(rule, catalogue)
    try:
        for each in rule.derivations:
            destinations.check(each)
        destinations.check_names(rule.send_to or ())
    except (NotFound, InvalidRequest) as error:
        problems.append(error.message)
    return problems


def problems_of_names(rule: Rule, catalogue: Catalogue) -> list[str]:
    """The problems that the blueprint folders alone reveal, without a server."""
    problems = []
    for asked in rule.derivations:
        for kind, name, there in (
            ("pipeline", asked.pipeline, catalogue.pipelines),
            ("blueprint", asked.blueprint, catalogue.blueprints),
            ("factory", asked.factory, catalogue.factories),
        ):
            if name is not None and name not in there:
                problems.append(f"there is no {kind} {name!r}")
        problems += _problems_of_parameters(asked, catalogue)
        if asked is rule.derive and (pipeline := catalogue.pipelines.get(asked.pipeline or "")) is not None:
            problems += _problems_of_inputs(rule, asked, pipeline)
    return problems


def _problems_of_parameters(asked: DeriveRequest, catalogue: Catalogue) -> list[str]:
    """Parameters that the pipeline refuses."""
    pipeline = catalogue.pipelines.get(asked.pipeline or "")
    try:
        if pipeline is not None:
            check_parameters(str(asked.pipeline), pipeline["Parameters"], asked.parameters)
    except InvalidRequest as error:
        return [error.message]
    return []


def _problems_of_inputs(rule: Rule, asked: DeriveRequest, pipeline: dict[str, Any]) -> list[str]:
    """Inputs that the pipeline lacks, and required ones that the rule lacks."""
    inputs = set(pipeline["Inputs"])
    needed = inputs - {*pipeline["OptionalInputs"], *pipeline["PriorInputs"]}  # a job looks for priors itself
    named = {*(rule.inputs or [pipeline["ParentInput"]]), *rule.priors, *asked.retrieve}
    if not needed <= named <= inputs:
        return [f"the inputs of the pipeline {asked.pipeline!r} are {', '.join(pipeline['Inputs'])}"]
    lacking = needed.intersection(rule.optional)
    return [f"the pipeline {asked.pipeline!r} needs {', '.join(sorted(lacking))}"] if lacking else []
