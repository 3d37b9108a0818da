"""What a test run says at its end, and what it does about programs that are not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from installed import needs_program, not_installed
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
