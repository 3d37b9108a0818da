"""What follows from a verdict happens although the Orthanc that took the verdict has ended before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from derived_series.errors import Busy
from derived_series.jobs.destination_states import destinations, with_states
from derived_series.jobs.queue.nodes import GONE
from derived_series.jobs.record import State
from derived_series.orthanc.life_cycle import LifeCycle
from derived_series.orthanc.verdict_settling import Settling
from rule_world import Pipelines, RuleGateway, World
from test_jobs_store import job
from waiting import soon

Settle = Callable[..., Settling]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path, [], Pipelines(p=["seg"]), RuleGateway(tmp_path, {}))) as opened:
        for name in ("s", "t"):
            opened.add(name, "SEG", provenance={"Job": f"of {name}"})
            result = with_states({"ID": name}, {name: {"pacs": "Held"}})
            opened.store.add(job(f"of {name}", series="p", state=State.SUCCESS, result=result), None, most=9)
        yield opened


@pytest.fixture
def settle(world: World) -> Iterator[Settle]:
    """Begin to settle, with these pauses."""
    begun = []

    def start(leads: bool = True, **pauses: float) -> Settling:
        begun.append(Settling(world.reviews, cast(Any, SimpleNamespace(leads=leads)), **pauses))
        begun[-1].start()
        return begun[-1]

    yield start
    for each in begun:
        each.stop()


def state_of(world: World, series: str) -> str:
    return destinations(world.store.get(f"of {series}"), series)["pacs"]


def test_what_an_orthanc_accepted_is_sent_when_that_one_is_gone(
    world: World, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle_all = world.reviews.settle_all
    looks: list[bool] = []
    monkeypatch.setattr(world.reviews, "settle_all", lambda is_stopping: looks.append(settle_all(is_stopping)) or True)  # type: ignore[func-returns-value]
    others: dict[str, Any] = {
        name: MagicMock()
        for name in ("storage", "pools", "leftovers", "runner", "notifier", "trigger", "bulk", "memory", "sweep")
    }
    life = LifeCycle(settling=settle(), files=(), **others)
    soon(lambda: looks == [True])
    world.reviews.accept("s", {"User": "Anna"})
    life.hear(GONE, "B")
    soon(lambda: state_of(world, "s") == "Pending")
    others["trigger"].catch_up.assert_called_once_with()


def test_it_is_sent_when_nobody_says_that_an_orthanc_is_gone(world: World, settle: Settle) -> None:
    settle(pause=0.01)
    world.reviews.accept("s", {"User": "Anna"})
    soon(lambda: state_of(world, "s") == "Pending")


def test_who_does_not_lead_settles_nothing(world: World, settle: Settle, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = MagicMock(return_value=True)
    monkeypatch.setattr(world.reviews, "settle_all", asked)
    settle(leads=False, pause=0.001).stop()
    asked.assert_not_called()


def test_one_that_cannot_be_settled_holds_nobody_up_and_is_tried_again(
    world: World, settle: Settle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("s", "t"):
        world.reviews.accept(name, {"User": "Anna"})
    verdict_on = world.reviews.of
    with monkeypatch.context() as patch:

        def broken(series: str) -> Any:
            if series == "s":
                raise Busy("Orthanc's database is away")
            return verdict_on(series)

        patch.setattr(world.reviews, "of", broken)
        settle(soon=0.01)
        soon(lambda: state_of(world, "t") == "Pending")
        assert state_of(world, "s") == "Held"
    soon(lambda: state_of(world, "s") == "Pending")
    assert "series of job of s has no effect yet" in caplog.text


def test_a_differing_copy_is_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    assert world.reviews.settle_all()  # takes over the copies that there are
    world.gateway.resources["/series/s/metadata/4301"] = {"State": "Accepted", "User": "Eve"}
    for _ in range(2):
        assert world.reviews.settle_all()
    assert [record.message for record in caplog.records if "was written past the plugin" in record.message] == [
        "series s: metadata 4301 of the series says Accepted by Eve, which was written past the plugin: "
        "there is no verdict here"
    ]
