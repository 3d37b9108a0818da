"""Soaks the plugin: a day's studies of the heavy case (1,500) within an hour, on an Orthanc of its own.

`make soak`. ``SOAK_MINUTES`` (60) says for how long studies come, ``SOAK_SEED`` what is done with which, and
``SOAK_BESIDE`` is a sentence on what else the machine does. It ends with 1 when a criterion of soak_verdict.py is not
met. An hour or more is written into BENCHMARKS.md, a shorter one only with ``--write``. All that was seen goes to
.run/soak.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sched
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from bench_tables import machine
from kept_section import with_section
from notice_receiver import NoticeReceiver, notice_receiver
from orthanc_server import REPOSITORY, OrthancFailed, OrthancServer
from server_audit import jobs_folder_is_tidy
from soak_client import SoakClient, Unexpected
from soak_course import Course, Problem
from soak_plan import (
    ACTS,
    BY_RULE,
    SLICES,
    STUDIES_PER_DAY,
    STUDIES_PER_MINUTE,
    Act,
    Rule,
    StudyPlan,
    odd_moments,
    plans,
)
from soak_sampling import sample, unfinished
from soak_studies import COLUMNS, ROWS, Study, image, study_of
from soak_tables import tables
from soak_verdict import broken

SECTION = "soak"
RAW = REPOSITORY / ".run" / "soak.json"

#: Studies are looked at and deleted when they are so old.
KEPT_SECONDS = 240.0
SAMPLE_SECONDS, PAGE_SECONDS, HEALTH_SECONDS, PROMETHEUS_SECONDS = 10.0, 10.0, 5.0, 15.0
STABLE_AGE_SECONDS = 2
#: The second half of a late study: the rule has fired for the first one by then.
LATE_SECONDS = 10.0
JOBS_HISTORY = 250
_CLIENTS, _WATCHERS = 40, 6  # who watches waits for nobody
_WAIT_SECONDS = 120.0
_PAUSE_SECONDS = 0.5
_NEWEST_JOBS = 50
_CANCELLED = 37  # the ErrorCode of a job

#: What derives from the studies that each rule takes.
RULES: dict[Rule, str] = {"smooth": "gaussian_smoothing", "segment": "bone"}

_PIPELINES = '''"""What the soak needs beside the ready pipelines."""

import time

import numpy as np

from derived_series import Segment, SegmentationFactory, derivation, segments
from derived_series.pipelines import Input, Pipeline


class Bone(Pipeline):
    """Bone in a CT series, as a segmentation."""

    input = {"ct": Input(required_values={"Modality": "CT"})}

    def blueprint_for(self, parent, parameters, blueprints):
        named = segments(Segment(1, "Bone", "Bone"))
        return blueprints["segmentation"] + named + derivation("from 300 HU on", "SegmentationImageDerivation")

    def process(self, container):
        return container["ct"].voxels() > 300


class Slow(Pipeline):
    """Longer than anybody waits: it is cancelled."""

    input = {"ct": Input}
    environment = "apart"

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("nothing", "Smoothing")

    def process(self, container):
        for _ in range(600):
            time.sleep(0.1)
        return container["ct"].voxels()
'''


def configuration(folder: Path, receiver: NoticeReceiver) -> dict[str, Any]:
    """Of an Orthanc that has the rules; what is cancelled runs in an environment, so that workers live on."""
    library = folder / "library"
    library.mkdir()
    (library / "soaking.py").write_text(_PIPELINES)
    rules = [
        {
            "Name": rule, "Match": {"SeriesDescription": StudyPlan(0, 0, rule, "Nothing", None, 0).description.strip()},
            "Derive": {"Pipeline": pipeline, "SeriesDescription": BY_RULE},
        }
        for rule, pipeline in RULES.items()
    ]  # fmt: skip
    section = {
        "BlueprintFolders": [str(REPOSITORY / "blueprints"), str(library)],
        "Rules": rules,
        "JobsHistory": JOBS_HISTORY,
        "Environments": {"apart": {"Python": sys.executable, "Workers": 1}},
        "LogFormat": "Json",
        "Notify": [{"Name": "site", "URL": receiver.url, "Secret": None, "Events": ["Success", "Failure", "Rejected"]}],
    }
    return {"Name": "soak", "StableAge": STABLE_AGE_SECONDS, "DerivedSeries": section}


class Soak:
    """One run against one Orthanc.

    :param kept: seconds after which a study is checked and deleted.
    """

    def __init__(self, server: OrthancServer, course: Course, kept: float):
        self.server = server
        self.course = course
        self.kept = kept
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._done: set[int] = set()
        self.client = SoakClient(server.url, course.answers.append, self.now)

    def now(self) -> float:
        return time.monotonic() - self._started

    def problem(self, what: str) -> None:
        print(f"soak: {self.now():.0f} s: {what}", file=sys.stderr, flush=True)
        self.course.problems.append(Problem(self.now(), what))

    # -- the clock -------------------------------------------------------------------------------------------------

    def run(self, studies: list[StudyPlan]) -> None:
        """All that happens, at its time; returns when the last study is checked and deleted."""
        clock = sched.scheduler(self.now, time.sleep)
        end = self.course.minutes * 60 + self.kept
        with ThreadPoolExecutor(_CLIENTS, "client") as clients, ThreadPoolExecutor(_WATCHERS, "watcher") as watchers:

            def at(moment: float, what: Callable[[], None], pool: ThreadPoolExecutor) -> None:
                clock.enterabs(moment, 0, lambda: pool.submit(self._guarded, what))

            for plan in studies:
                at(plan.arrives, partial(self._study, plan), clients)
                at(plan.arrives + self.kept, partial(self._check, plan), clients)
            for pause, what in (
                (SAMPLE_SECONDS, self._sample), (PAGE_SECONDS, self._look_at_page),
                (HEALTH_SECONDS, self._probe_health), (PROMETHEUS_SECONDS, self._scrape),
            ):  # fmt: skip
                for moment in odd_moments(pause, end):
                    at(moment, what, watchers)
            for minute in range(1, int(end / 60) + 1):
                at(minute * 60, self._tell, watchers)
            clock.run()
        self._guarded(self._drain)

    def _guarded(self, what: Callable[[], None]) -> None:
        """The boundary of a client's thread: whatever goes wrong is noted, and the soak goes on."""
        try:
            what()
        except Exception as error:
            self.problem(f"{getattr(what, 'func', what).__name__}: {type(error).__name__}: {error}")

    # -- what watches ----------------------------------------------------------------------------------------------

    def _sample(self) -> None:
        status = self.client.json("GET /derived-series/status")
        now = self.now()
        self.course.samples.append(sample(self.server, status, now))

    def _look_at_page(self) -> None:
        """As the status page does."""
        jobs = sum(self.client.json("GET /derived-series/status")["Jobs"].values())
        since = max(0, jobs - _NEWEST_JOBS)
        page = "GET /derived-series/jobs?expand&since={}&limit={}"
        self.client.json(page, str(since), str(_NEWEST_JOBS))
        self.client.json("GET /derived-series/recent")
        self.client.json("GET /derived-series/rules")
        self.client.ask("GET /derived-series")

    def _probe_health(self) -> None:
        health = self.client.json("GET /derived-series/health")
        if health["Status"] != "Ok":
            wrong = {name: check for name, check in health["Checks"].items() if check["Status"] != "Ok"}
            raise Unexpected(f"health: {wrong}")

    def _scrape(self) -> None:
        self.client.ask("GET /derived-series/metrics")

    def _tell(self) -> None:
        course, last = self.course, self.course.samples[-1]
        print(
            f"soak: {self.now() / 60:.0f} min: {len(course.arrived)} studies, {len(course.checked)} checked, "
            f"{len(course.problems)} problems, Orthanc {last.orthanc / 1e6:.0f} MB, largest worker "
            f"{last.largest_worker / 1e6:.0f} MB, all {last.together / 1e6:.0f} MB, {last.descriptors} descriptors, "
            f"{last.unfinished} jobs unfinished, jobs file {last.jobs_file / 1e6:.2f} MB, WAL {last.wal / 1e6:.2f} MB",
            flush=True,
        )

    # -- a study ---------------------------------------------------------------------------------------------------

    def _study(self, plan: StudyPlan) -> None:
        study = study_of(plan)
        half = SLICES // 2 if plan.act == "Late" else SLICES
        self.client.store(study.study_instance_uid, study.parts[:half])
        self.course.arrived.append(self.now())
        series = self._series_id(study)
        if plan.act == "Late":
            time.sleep(LATE_SECONDS)
            self.client.store(study.study_instance_uid, study.parts[half:])
        elif plan.act != "Nothing":
            _ACTS[plan.act](self, series, plan)
        if plan.verdict is not None:
            self._review(study, plan.verdict)
        with self._lock:
            self._done.add(plan.number)

    def _series_id(self, study: Study) -> str:
        resources = self.client.ask("POST /tools/lookup", data=study.series_instance_uid.encode()).json()
        return next(str(each["ID"]) for each in resources if each["Type"] == "Series")

    def _study_id(self, study: Study) -> str:
        resources = self.client.ask("POST /tools/lookup", data=study.study_instance_uid.encode()).json()
        return next(str(each["ID"]) for each in resources if each["Type"] == "Study")

    def _derive(self, series: str, body: dict[str, Any]) -> Any:
        kind = "asynchronous" if body.get("Asynchronous") else "dry run" if body.get("DryRun") else "waited for"
        answer = self.client.ask("POST /series/{}/derive", series, json_body=body, kind=kind)
        if answer.status_code != 200:
            raise Unexpected(f"a derivation that is waited for: {answer.status_code} {answer.text[:300]}")
        return answer.json()

    def act_wait(self, series: str, plan: StudyPlan) -> None:
        parameters = {"SigmaMm": 1.0}
        body = {"Pipeline": "gaussian_smoothing", "Parameters": parameters, "SeriesDescription": "waited for"}
        self._derive(series, {**body, "Synchronous": True})

    def act_measure(self, series: str, plan: StudyPlan) -> None:
        values = self._derive(series, {"Pipeline": "body_mask", "SeriesDescription": "measured"})["Values"]
        if set(values) != {"body", "mean"}:
            raise Unexpected(f"body_mask answered {values}")

    def act_image(self, series: str, plan: StudyPlan) -> None:
        route = "POST /series/{}/derive/ct/numpy"
        self.client.ask(route, series, data=image(), options={"SeriesDescription": "from an image"})

    def act_replace(self, series: str, plan: StudyPlan) -> None:
        parameters = {"SigmaMm": 3.0}
        body = {"Pipeline": "gaussian_smoothing", "Parameters": parameters, "SeriesDescription": "replaced"}
        first, second = (self._derive(series, {**body, "IfExists": "Replace"})["ID"] for _ in range(2))
        if first == second:
            raise Unexpected("the second derivation is the first one")

    def act_preview(self, series: str, plan: StudyPlan) -> None:
        answer = self._derive(series, {"Pipeline": "gaussian_smoothing", "DryRun": True, "Preview": True})
        if not answer.get("Header"):
            raise Unexpected("a dry run without its header")

    def act_cancel(self, series: str, plan: StudyPlan) -> None:
        body = {"Pipeline": "slow", "SeriesDescription": "cancelled", "Asynchronous": True}
        job = str(self._derive(series, body)["ID"])
        time.sleep(plan.cancel_after)
        self.client.ask("POST /series/{}/jobs/{}/cancel", series, job)
        with self._lock:
            self.course.cancelled += 1
        for state in self._polled("GET /series/{}/jobs/{}", series, job):
            if state["State"] in ("Success", "Failure"):
                break
        if state["ErrorCode"] != _CANCELLED:
            raise Unexpected(f"a cancelled job: {state}")

    def _review(self, study: Study, verdict: str) -> None:
        """As the review page does, as soon as the rule's series is there."""
        study_id = self._study_id(study)
        for all_series in self._polled("GET /studies/{}/series", study_id):
            derived = [each for each in all_series if each["MainDicomTags"].get("SeriesDescription") == BY_RULE]
            if derived and derived[0]["IsStable"]:
                break
        series, instance = str(derived[0]["ID"]), str(derived[0]["Instances"][0])
        self.client.ask("GET /derived-series/review/{}", series)
        self.client.json("GET /series/{}/sources", series)
        self.client.json("GET /series/{}/manifest", series)
        self.client.ask("GET /instances/{}/pixels/0/1", instance)
        code = {"Code": "111207", "Reason": "soaked"} if verdict == "Reject" else {}
        body = {"Verdict": verdict, "User": "Soak", **code}
        self.client.json("POST /series/{}/review", series, json_body=body)

    def _polled(self, route: str, *ids: str) -> Iterator[Any]:
        end = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < end:
            yield self.client.json(route, *ids)
            time.sleep(_PAUSE_SECONDS)
        raise Unexpected(f"{route}: not as it must be after {_WAIT_SECONDS:g} s")

    # -- the end of a study ----------------------------------------------------------------------------------------

    def _check(self, plan: StudyPlan) -> None:
        """Exactly the series that must be there, and no job that failed; then the study goes."""
        study = study_of(plan)
        study_id, series = self._study_id(study), self._series_id(study)
        with self._lock:
            if plan.number not in self._done:
                raise Unexpected(f"study {plan.number} ({plan.act}, {plan.verdict}) is not done with")
        there = Counter(
            (str(each["MainDicomTags"].get("SeriesDescription")), len(each["Instances"]))
            for each in self.client.json("GET /studies/{}/series", study_id)
        )
        jobs = self.client.json("GET /series/{}/jobs?expand", series)
        for job in jobs:
            if job["State"] != "Success" and job["ErrorCode"] != _CANCELLED:
                self.problem(f"study {plan.number}: job {job}")
        missing, surplus = plan.expected - there, there - plan.expected
        with self._lock:
            self.course.missing += missing.total()
            self.course.surplus += surplus.total()
        if missing or surplus:
            raise Unexpected(f"study {plan}: missing {dict(missing)}, surplus {dict(surplus)}")
        now = self.now()
        self.course.derived.extend([now] * (there.total() - 1))
        self.client.ask("DELETE /studies/{}", study_id)
        self.course.checked.append(now)

    def _drain(self) -> None:
        """Until nothing is in the queue; then the last sample, and the plugin's own counts."""
        for status in self._polled("GET /derived-series/status"):
            if unfinished(status) == 0:
                break
        self._sample()
        left = self.client.json("GET /studies")
        if left:
            raise Unexpected(f"studies are left: {left}")
        self._count(self.client.ask("GET /derived-series/metrics").text)

    def _count(self, metrics: str) -> None:
        for family in text_string_to_metric_families(metrics):
            for each in family.samples:
                if each.name == "derived_series_job_seconds_count" and each.labels["state"] == "success":
                    self.course.jobs += int(each.value)
                if each.name == "derived_series_failures_total":
                    error = each.labels["error"]
                    self.course.failures[error] = self.course.failures.get(error, 0) + int(each.value)
                if each.name == "derived_series_notices_given_up_total" and each.value:
                    self.problem(f"notices were given up: {each}")
                if each.name == "derived_series_notices_waiting" and each.value:
                    self.problem(f"notices wait in the end: {each}")


_ACTS: dict[Act, Callable[[Soak, str, StudyPlan], None]] = {
    "Wait": Soak.act_wait, "Measure": Soak.act_measure, "Image": Soak.act_image, "Replace": Soak.act_replace,
    "Cancel": Soak.act_cancel, "Preview": Soak.act_preview,
}  # fmt: skip


@contextmanager
def _orthanc() -> Iterator[OrthancServer]:
    with tempfile.TemporaryDirectory(prefix="derived-series-soak-") as name, notice_receiver() as receiver:
        folder = Path(name)
        with OrthancServer(folder, configuration(folder, receiver)) as server:
            server.json("/derived-series/status")
            yield server


def soak(minutes: float, seed: int) -> Course:
    """Run the soak. :param minutes: how long studies arrive."""
    course = Course(minutes)
    studies = list(plans(minutes, seed))
    for rule in RULES:
        study_of(StudyPlan(0, 0.0, rule, "Nothing", None, 0.0))  # makes its files, before the clock begins
    image()
    with _orthanc() as server:
        run = Soak(server, course, min(KEPT_SECONDS, minutes * 30))
        run.run(studies)
        if (code := server.stop()) != 0 or server.survivors:
            run.problem(f"Orthanc ended with {code}, and left the processes {server.survivors}")
        if (traces := server.log().count("Traceback (most recent call last)")) > 0:
            run.problem(f"Orthanc's log has {traces} tracebacks, such as {_first_trace(server.log())}")
        try:
            jobs_folder_is_tidy(server.jobs_folder)
        except AssertionError as error:
            run.problem(f"the jobs folder is not tidy: {error}")
    return course


def _first_trace(log: str) -> str:
    return log[log.index("Traceback (most recent call last)") :][:2000]


def _notes(course: Course, seed: int, beside: str) -> tuple[str, ...]:
    megabytes = SLICES * ROWS * COLUMNS * 2 / 1e6
    shares = ", ".join(f"{act.lower()} {share} %" for act, share in ACTS.items())
    return (
        f"How it was scaled: the heavy case of the field is {STUDIES_PER_DAY:,} studies a day. Here one comes every "
        f"{60 / STUDIES_PER_MINUTE:g} s, 24 times as fast, so that an hour is a day; its CT has {SLICES} slices of "
        f"{ROWS} x {COLUMNS} ({megabytes:.1f} MB), so that well under one core keeps up with it. `StableAge` is "
        f"{STABLE_AGE_SECONDS} s (of 60). A study is kept for {KEPT_SECONDS / 60:g} minutes (about 100 of them), then "
        f"looked at and deleted: the disk is bounded by that. `JobsHistory` is {JOBS_HISTORY} (of 1,000), so that "
        "old jobs are forgotten from the first ten minutes on; firings of rules are remembered for 30 days as ever.",
        "What is done: a rule smooths 70 % of the studies and makes a segmentation of the others, as soon as they are "
        f"stable. Beside that, by a seed ({seed}): {shares}; 22 % of the rule's series are accepted and 8 % rejected, "
        "after what the review page asks for. What is cancelled runs in an environment with one worker; the two other "
        "workers live as long as Orthanc. The status page asks every 10 s, a probe of health every 5 s, Prometheus "
        "every 15 s; a receiver gets a notice of each job. Samples are taken every 10 s; figures are medians unless "
        "it says most.",
        f"{course.jobs:,} jobs succeeded, {course.cancelled:,} were cancelled.",
        *((beside,) if beside else ()),
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Soaks the plugin.")
    parser.add_argument("--write", action="store_true", help="write BENCHMARKS.md after less than an hour, too")
    options = parser.parse_args(arguments)
    minutes, seed = float(os.environ.get("SOAK_MINUTES", "60")), int(os.environ.get("SOAK_SEED", "1"))
    print(f"soak: {minutes:g} minutes, SOAK_SEED={seed}", flush=True)
    described, began = machine(), datetime.now(UTC)
    try:
        course = soak(minutes, seed)
    except OrthancFailed as failure:
        print(f"soak: {failure}", file=sys.stderr)
        return 1
    RAW.parent.mkdir(exist_ok=True)
    RAW.write_text(json.dumps({"seed": seed, **dataclasses.asdict(course)}))
    title = f"Soak: {len(course.arrived):,} studies in {minutes:g} minutes"
    beside = os.environ.get("SOAK_BESIDE", "")
    notes = (f"{described}; begun {began:%Y-%m-%d %H:%M} UTC.", *_notes(course, seed, beside))
    text = "\n".join(table.markdown() for table in tables(course, title, notes))
    print(text)
    if options.write or minutes >= 60:
        path = REPOSITORY / "BENCHMARKS.md"
        path.write_text(with_section(path.read_text(), SECTION, text))
        print(f"soak: wrote the section of {path.name}")
    for criterion in broken(course):
        print(f"soak: NOT MET: {criterion.name}: {criterion.measured}, {criterion.bound}", file=sys.stderr)
    return 1 if broken(course) else 0


if __name__ == "__main__":
    sys.exit(main())
