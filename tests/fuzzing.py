"""Runs damaged inputs in a child process with limits of time and memory, and counts how they end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: The most seconds for an input.
LIMIT_SECONDS = 60.0
#: The number of defects after which the child's next death ends the run.
_MOST_DEFECTS = 20
_HERE = Path(__file__).resolve().parent
#: Answers lines of a seed and a number: {"what": ..., "end": ..., "seconds": ..., "peak": ...}.
PROGRAM = _HERE / "fuzz_child.py"
#: Additional seconds for a process's first answer, which waits for the imports.
_LOADING_SECONDS = 60.0


@dataclass(slots=True)
class Result:
    """The number of each kind of end, by kind of damage, and every defect with its case and traceback."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    defects: list[tuple[int, str, str]] = field(default_factory=list)
    slowest: float = 0.0
    peak: int = 0

    def table(self) -> str:
        """Rows of damage, with the number of each kind of end."""
        lines = []
        for what in sorted({what for what, _ in self.counts}):
            ends = {end: count for (known, end), count in self.counts.items() if known == what}
            counts = ", ".join(f"{end} {count}" for end, count in sorted(ends.items(), key=lambda item: -item[1]))
            lines.append(f"{what:<20} {sum(ends.values()):>5}  {counts}")
        return "\n".join(lines)


class _Child:
    def __init__(self, program: Path) -> None:
        path = os.pathsep.join([str(_HERE.parent / "plugin"), str(_HERE)])
        env = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=env,
        )

    def ask(self, seed: str, number: int, limit: float) -> dict[str, Any] | str:
        """The child's answer, or how it failed to answer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{seed} {number}\n".encode())
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], limit)
        if not ready:
            return f"no end within {limit:g} s"
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            return f"died of {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        document: dict[str, Any] = json.loads(line)
        return document

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def fuzz(seed: str, numbers: Iterable[int], program: Path = PROGRAM, limit: float = LIMIT_SECONDS) -> Result:
    """Derive from the damaged inputs with these numbers."""
    result = Result()
    child = _Child(program)
    start = _LOADING_SECONDS
    try:
        for number in numbers:
            answer = child.ask(seed, number, limit + start)
            start = 0.0
            if isinstance(answer, str):
                result.counts["?", f"DEFECT {answer}"] += 1
                result.defects.append((number, answer, ""))
                child.close()
                if len(result.defects) > _MOST_DEFECTS:
                    raise AssertionError(f"{len(result.defects)} defects already: {result.defects[-1]}")
                child, start = _Child(program), _LOADING_SECONDS
                continue
            result.counts[answer["what"], answer["end"]] += 1
            if answer["end"].startswith("DEFECT"):
                result.defects.append((number, answer["end"], answer["trace"]))
            result.slowest = max(result.slowest, answer["seconds"])
            result.peak = max(result.peak, answer["peak"])
    finally:
        child.close()
    return result
