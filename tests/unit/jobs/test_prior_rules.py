"""Rules that name inputs of prior studies, and inputs that may be missing."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from pydantic import ValidationError

from derived_series.jobs.rules.evaluate import Case, Firing, SeriesFacts, evaluate, evaluate_all, is_prior_of
from derived_series.jobs.rules.log import Fired
from derived_series.jobs.rules.model import Rule

CHANGE = {"Pipeline": "change"}


def rule(**changes: Any) -> Rule:
    document = {"Name": "r", "Match": {"Modality": "CT"}, "Priors": {"before": {"Modality": "CT"}}, "Derive": CHANGE}
    return Rule.model_validate({key: value for key, value in {**document, **changes}.items() if value is not None})


def series(name: str, modality: str = "CT", **more: Any) -> SeriesFacts:
    return SeriesFacts(name, "study", (f"{name}-1",), True, {"Modality": modality}, lineage=name, **more)


def fire(wanted: Rule, new: SeriesFacts, *priors: list[SeriesFacts], study: tuple[SeriesFacts, ...] = ()) -> Firing:
    (firing,) = evaluate(wanted, new, lambda: [new, *study], lambda: priors).firings
    return firing


def reason(wanted: Rule, new: SeriesFacts, *priors: list[SeriesFacts]) -> str | None:
    return evaluate(wanted, new, lambda: [new], lambda: priors).reason


def test_the_prior_is_of_the_latest_study_that_has_one() -> None:
    late, early = [series("mr", "MR")], [series("a", number=2), series("b", number=10), series("c", number=3)]
    assert fire(rule(), series("now"), late, early, [series("d", number=99)]).inputs == {"": "now", "before": "b"}


@pytest.mark.parametrize(
    "other",
    [
        series("p", "MR"),
        dataclasses.replace(series("p"), stable=False),
        series("p", issuer="ELSEWHERE"),
        series("p", depth=1),
        series("p", depth=1, chain=frozenset({"r"})),
    ],
)
def test_without_a_prior_it_does_not_fire_unless_that_is_optional(other: SeriesFacts) -> None:
    assert reason(rule(), series("now"), [other]) == "no study before has a stable series for before"
    assert fire(rule(Optional=["before"]), series("now"), [other]).inputs == {"": "now"}
    assert fire(rule(), series("now"), [other], [series("q")]).inputs["before"] == "q"


def test_another_prior_is_another_firing_with_the_same_result_in_its_place() -> None:
    one, other = fire(rule(), series("now"), [series("p")]), fire(rule(), series("now"), [series("q")])
    assert one.digest != other.digest and one.subject == other.subject
    without = fire(rule(Optional=["before"]), series("now"))
    assert without.subject == one.subject and without.digest not in (one.digest, other.digest)


def test_a_rule_without_priors_keeps_what_its_firings_go_by() -> None:
    plain = rule(Priors=None)
    assert fire(plain, series("now")).digest == fire(rule(Optional=["before"]), series("now")).digest


def test_a_new_prior_is_one_of_others_unless_it_was_retrieved() -> None:
    assert is_prior_of(rule(), series("p")) and not is_prior_of(rule(), series("p", "MR"))
    assert not is_prior_of(rule(Priors=None), series("p"))
    assert not is_prior_of(rule(), series("p", is_retrieved=True))
    assert "retrieved" in str(reason(rule(), series("p", is_retrieved=True), [series("q")]))


def test_an_optional_input_of_the_study_is_taken_when_it_is_there() -> None:
    both = rule(
        Match=None, Inputs={"ct": {"Modality": "CT"}, "mask": {"Modality": "SEG"}}, Optional=["mask"], Priors=None
    )
    without = fire(both, series("ct"))
    assert without.inputs == {"ct": "ct"}
    whole = fire(both, series("seg", "SEG"), study=(series("ct"),))
    assert whole.inputs == {"ct": "ct", "mask": "seg"} and whole.subject == without.subject
    assert "for ct" in str(reason(both, series("seg", "SEG")))


def in_order(*firings: Firing) -> list[Fired]:
    """The records of firings, one after the other."""
    return [Fired(firing, str(seq), 0.0, seq) for seq, firing in enumerate(firings, 1)]


def test_the_results_of_several_optional_inputs_are_kept_beside_each_other() -> None:
    both = rule(
        Match=None, Inputs={"ct": {"Modality": "CT"}, "mask": {"Modality": "SEG"}}, Optional=["mask"], Priors=None
    )
    ct = series("ct")
    without, one, other, grown, smaller = in_order(
        fire(both, ct),
        fire(both, ct, study=(series("m1", "SEG"),)),
        fire(both, ct, study=(series("m2", "SEG"),)),
        fire(both, ct, study=(dataclasses.replace(series("m1", "SEG"), instances=("x", "y")),)),
        fire(both, dataclasses.replace(ct, instances=("x",))),
    )
    assert one.replaces(without) and other.replaces(without) and grown.replaces(one)
    assert not other.replaces(one) and not grown.replaces(other) and not smaller.replaces(grown)
    assert not without.replaces(one) and not without.replaces(smaller), "only what fired earlier is replaced"
    again = dataclasses.replace(series("m1-again", "SEG"), lineage="m1")
    (last,) = in_order(*[fire(both, ct, study=(again,))] * 9)[-1:]
    assert last.replaces(grown) and not last.replaces(other), "the mask was derived again, as another series"


def test_what_is_derived_from_the_results_of_optional_inputs_is_kept_beside_each_other() -> None:
    """They have one subject, as each replaces the result without such an input."""
    after = rule(Name="after", Priors=None, MaxDepth=9)
    digits = {"plain": "", "one": "1", "other": "2", "two": "12"}
    plain, one, other, two = in_order(
        *(
            fire(after, dataclasses.replace(series(name), lineage="s", options=frozenset(digits[name])))
            for name in digits
        )
    )
    assert one.replaces(plain) and not other.replaces(one) and two.replaces(one) and two.replaces(other)
    assert one.to_json()["Options"] == ["1"] and "Options" not in plain.to_json()


def test_an_optional_input_that_does_not_go_with_the_others_is_left_out() -> None:
    """Not the whole rule for it."""
    both = rule(
        Match=None,
        Inputs={"ct": {"Modality": "CT"}, "mask": {"Modality": "SEG"}},
        Optional=["mask"],
        Same=["FrameOfReferenceUID"],
        Priors=None,
    )

    def framed(name: str, modality: str, frame: str) -> SeriesFacts:
        return dataclasses.replace(series(name, modality), values={"Modality": modality, "FrameOfReferenceUID": frame})

    ct = framed("ct", "CT", "1")
    other, fitting = framed("other", "SEG", "2"), framed("mask", "SEG", "1")
    assert fire(both, ct, study=(other,)).inputs == {"ct": "ct"}
    assert fire(both, ct, study=(other, fitting)).inputs == {"ct": "ct", "mask": "mask"}
    assert evaluate(both, other, lambda: [ct, other]).reason == "FrameOfReferenceUID is not the same in all inputs"
    two = evaluate(both, ct, lambda: [ct, fitting, framed("more", "SEG", "1")]).firings
    assert [each.inputs["mask"] for each in two] == ["mask", "more"], "each that goes with it"


def test_an_optional_input_like_a_needed_one_is_not_needed() -> None:
    alike = rule(Match=None, Inputs={"a": {"Modality": "CT"}, "b": {"Modality": "CT"}}, Optional=["b"], Priors=None)
    alone = fire(alike, series("one"))
    assert alone.inputs == {"a": "one"}
    pairs = evaluate(alike, series("two"), lambda: [series("one"), series("two")]).firings
    assert sorted((each.inputs["a"], each.inputs["b"]) for each in pairs) == [("one", "two"), ("two", "one")]
    assert alone.subject in [each.subject for each in pairs]


def test_all_rules_for_all_cases() -> None:
    case = Case(series("now"), priors=[[series("p")]])
    assert [each[0].firings[0].inputs for each in evaluate_all([rule()], [case])] == [{"": "now", "before": "p"}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Optional": ["mask"]}, "Optional names mask"),
        ({"Derive": {"Blueprint": "ct", "Factory": "numpy"}}, "Priors are for a Pipeline"),
        ({"Derive": {**CHANGE, "Retrieve": {"before": {"From": "pacs"}}}}, "both name before"),
        (
            {"Match": None, "Inputs": {"a": {"Modality": "CT"}, "b": {"Modality": "CT"}}, "Optional": ["a", "b"]},
            "Optional names all Inputs",
        ),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        rule(**changes)


def test_what_priors_look_at_is_read() -> None:
    named = rule(Priors={"before": {"SeriesDescription": {"Regex": "^x"}}})
    assert named.names() == {"Modality", "SeriesDescription"} and named.patterns() == {"^x"}
