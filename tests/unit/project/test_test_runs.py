"""What a test run says at its end, and what it does about programs that are not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from installed import needs_program, not_installed
from quick_loop import left_out, mark_left_out
from run_summary import coverage_lines, skip_lines


def test_a_reason_to_skip_is_one_line_whatever_the_number_of_places() -> None:
    reasons = ["Skipped: no shared data", "Skipped: OHIF is not installed (make ohif)", "Skipped: no shared data"]
    assert skip_lines(reasons) == [
        "skipped 2 tests: no shared data",
        "skipped 1 test: OHIF is not installed (make ohif)",
    ]
    assert skip_lines([]) == []


def test_a_missing_program_skips_here_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"abacus is not installed \(apt-get install abacus\)"):
        needs_program("abacus", "apt-get install abacus")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"abacus is not installed \(apt-get install abacus\)"):
        not_installed("abacus", "apt-get install abacus")
    assert Path(needs_program("sh", "")).name == "sh"


def test_coverage_is_that_of_each_package_and_of_all(tmp_path: Path) -> None:
    def file(executed: int, missing: int) -> dict[str, list[int]]:
        return {"executed_lines": list(range(executed)), "missing_lines": list(range(missing))}

    files = {
        str(tmp_path / "jobs" / "queue" / "clock.py"): file(3, 1),
        str(tmp_path / "jobs" / "record.py"): file(1, 3),
        str(tmp_path / "errors.py"): file(8, 0),
        str(tmp_path.parent / "elsewhere.py"): file(0, 100),
    }
    whole, parts = coverage_lines({"files": files}, tmp_path)
    assert whole.startswith("75 % of 16 lines")
    assert parts == "files beside them 100 %, jobs 50 %"
    assert coverage_lines({"files": {}}, tmp_path) == []


def test_the_quick_loop_runs_a_sample_of_a_matrix() -> None:
    cases = [f"test_x.py::test_matrix[{a}-{b}]" for a in "abcd" for b in range(9)]
    names = left_out(6, cases)
    assert len(names) == 30 and names < set(cases) and names == left_out(6, cases[::-1])
    kept = sorted(set(cases) - names)
    assert len({name.split("[")[1][0] for name in kept}) > 1, "not one row of it"
    assert len({name[-2] for name in kept}) > 1, "not one column of it"
    assert left_out(99, cases) == set()


@pytest.mark.wide(quick=2)
@pytest.mark.parametrize("case", range(5))
def test_the_others_of_it_are_slow(case: int, request: pytest.FixtureRequest) -> None:
    """Two of these five, whatever part of the suite runs."""
    items = [item for item in request.session.items if item.nodeid.partition("[")[0] == request.node.nodeid[:-3]]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    assert len(quick) <= 2 and (len(items) < 5 or len(quick) == 2), case
    mark_left_out([])
