"""What a soak does with each study, drawn by a seed: so what must be there in the end is known from the beginning."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

#: A day of the heavy case is 1,500 studies: an hour of the soak has as many.
STUDIES_PER_MINUTE = 25
STUDIES_PER_DAY = 1500
SLICES = 20

Rule = Literal["smooth", "segment"]
#: Beside what the rule derives: asked for and waited for, two series and numbers of one job, an image that is sent,
#: the same twice with Replace, cancelled, a dry run with a preview, and a study whose second half comes late.
Act = Literal["Nothing", "Wait", "Measure", "Image", "Replace", "Cancel", "Preview", "Late"]
Verdict = Literal["Accept", "Reject"]

_RULES: dict[Rule, int] = {"smooth": 70, "segment": 30}
ACTS: dict[Act, int] = {
    "Nothing": 50, "Wait": 15, "Measure": 5, "Image": 8, "Replace": 6, "Cancel": 6, "Preview": 5, "Late": 5,
}  # fmt: skip
VERDICTS: dict[Verdict | None, int] = {None: 70, "Accept": 22, "Reject": 8}

BY_RULE, NOTE = "by the rule", "Rejected for Quality Reasons"
#: What each act makes, by SeriesDescription and number of instances.
_MADE_BY_ACT: dict[Act, dict[str, int]] = {
    "Wait": {"waited for": SLICES},
    "Measure": {"measured (mask)": 1, "measured (masked)": SLICES},
    "Image": {"from an image": SLICES},
    "Replace": {"replaced": SLICES},
}
_LONGEST_RUN_SECONDS = 3.0  # before a cancel


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """A study and what becomes of it.

    :ivar arrives: seconds after the beginning. :ivar cancel_after: seconds after the job was accepted.
    """

    number: int
    arrives: float
    rule: Rule
    act: Act
    verdict: Verdict | None
    cancel_after: float

    @property
    def description(self) -> str:
        """The SeriesDescription of its parent series, by which a rule takes it."""
        return f"for {self.rule:>7}"

    @property
    def expected(self) -> Counter[tuple[str, int]]:
        """All its series in the end: SeriesDescription and number of instances."""
        series = {self.description: SLICES, BY_RULE: SLICES if self.rule == "smooth" else 1}
        if self.verdict == "Reject":
            series[NOTE] = 1
        return Counter((series | _MADE_BY_ACT.get(self.act, {})).items())


def odd_moments(pause: float, end: float) -> Iterator[float]:
    """One moment within each interval of ``pause`` seconds, the same at each run.

    Who looks in step with what Orthanc does at intervals, such as giving memory back, sees one moment of each, drifts
    slowly to the next, and takes that for growth.
    """
    chance = random.Random(1)
    for turn in range(int(end / pause)):
        yield (turn + chance.random()) * pause


def plans(minutes: float, seed: int) -> Iterator[StudyPlan]:
    """The studies of so many minutes, in the order in which they come: evenly, each a little early or late."""
    chance = random.Random(seed)
    pause = 60 / STUDIES_PER_MINUTE
    for number in range(round(minutes * STUDIES_PER_MINUTE)):
        arrives = (number + chance.random()) * pause
        (rule,) = chance.choices(list(_RULES), list(_RULES.values()))
        (act,) = chance.choices(list(ACTS), list(ACTS.values()))
        (verdict,) = chance.choices(list(VERDICTS), list(VERDICTS.values()))
        cancel_after = chance.uniform(0, _LONGEST_RUN_SECONDS)
        # a verdict on what is still going to be replaced would keep it from that
        yield StudyPlan(number, arrives, rule, act, None if act == "Late" else verdict, cancel_after)
