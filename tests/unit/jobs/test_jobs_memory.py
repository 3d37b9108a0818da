"""What a worker keeps of its memory between tasks."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import sys
import numpy as np
from derived_series.jobs.pool.memory import give_back, keep_freed

def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20

keep_freed()
before = megabytes()
for _ in range(3):
    blocks = [np.ones(50 << 17), *(bytes(1 << 20) for _ in range(150))]
    del blocks
kept = megabytes()
give_back()
print(before, kept, megabytes())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="glibc's malloc alone can be told")
def test_what_is_freed_is_kept_until_it_is_given_back() -> None:
    """200 MB three times, in large and in small blocks: they are kept once, not three times."""
    plugin = Path(__file__).resolve().parents[3] / "plugin"
    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT], env={"PYTHONPATH": str(plugin)}, capture_output=True, text=True, check=True
    )
    before, kept, after = map(int, run.stdout.split())
    assert 190 <= kept - before <= 260
    assert after - before <= 20
