"""Memory that is free goes back to the system."""

from __future__ import annotations

import ctypes
import threading

from derived_series.orthanc.memory_return import trim_of_libc
from derived_series.orthanc.periodic import Periodic

_PIECES, _PIECE_BYTES = 2_000, 40_000


def resident_bytes() -> int:
    with open("/proc/self/smaps_rollup") as file:
        (line,) = (line for line in file if line.startswith("Rss:"))
    return int(line.split()[1]) * 1024


class Pieces:
    """Memory of the C library's heap, all of it written to."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._libc.malloc.restype = ctypes.c_void_p
        self._libc.free.argtypes = (ctypes.c_void_p,)
        self._pieces = [self._libc.malloc(_PIECE_BYTES) for _ in range(_PIECES)]
        for piece in self._pieces:
            ctypes.memset(piece, 1, _PIECE_BYTES)

    def free(self, *, each: int) -> None:
        """All but every n-th: holes between what is kept."""
        kept = self._pieces[::each]
        for piece in set(self._pieces) - set(kept):
            self._libc.free(piece)
        self._pieces = kept


def test_holes_of_a_heap_are_given_back() -> None:
    pieces = Pieces()
    trim = trim_of_libc()
    assert trim is not None, "glibc has it"
    full = resident_bytes()
    pieces.free(each=10)
    assert resident_bytes() > full - 20_000_000, "or there is nothing to do"
    trimmed = threading.Event()

    def trim_once() -> None:
        trim()
        trimmed.set()

    memory = Periodic("memory", trim_once, pause=0.01)
    memory.start()
    assert trimmed.wait(10)
    memory.stop()
    assert resident_bytes() < full - 50_000_000, "72 MB are free"
    pieces.free(each=_PIECES)


def test_where_the_library_has_no_such_function_nothing_runs() -> None:
    memory = Periodic("memory", None, pause=0.01)
    memory.start()
    memory.stop()
    assert "memory" not in {thread.name for thread in threading.enumerate()}


def test_the_end_of_orthanc_does_not_wait_for_the_next_turn() -> None:
    turns: list[int] = []
    memory = Periodic("memory", lambda: turns.append(1), pause=3600)
    memory.start()
    memory.stop()
    assert not turns
