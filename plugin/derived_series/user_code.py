"""Describes exceptions of user code, whatever it raised."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

from derived_series.shortening import shortened

#: The most characters of an exception's text.
_ERROR_CHARACTERS = 20_000

#: The folders of code that is not the user's: this package, the standard library and installed packages.
_OTHERS = (
    str(Path(__file__).resolve().parent),
    *sorted({str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")}),
)


def described(error: BaseException) -> str:
    """The type and the text of an exception; if its text cannot be read, the error of reading it."""
    kind = type(error).__name__
    try:
        text = _text(error)
    except Exception as second:  # the boundary to a user's class
        return f"{kind}, whose text cannot be read ({_kind_and_text(second)})"
    return f"{kind}: {text}" if text else kind


def _kind_and_text(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {_text(error)}"
    except Exception:  # the second error's text cannot be read either
        return type(error).__name__


def _text(error: BaseException) -> str:
    return shortened(str(error), _ERROR_CHARACTERS)


def place(error: BaseException) -> str:
    """Where the user's own code raised it: ``median.py, line 17, in process``; empty if none of it took part."""
    return next((_place(frame) for frame in reversed(list(_own_frames(error)))), "")


def _own_frames(error: BaseException) -> Iterator[traceback.FrameSummary]:
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if not code.co_filename.startswith("<") and not _is_of_others(code.co_filename):
            yield traceback.FrameSummary(code.co_filename, line, code.co_name, lookup_line=False)


def _is_of_others(file: str) -> bool:
    path = Path(file).resolve()
    return any(path.is_relative_to(folder) for folder in _OTHERS) or "site-packages" in path.parts


def _place(frame: traceback.FrameSummary) -> str:
    return f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}"


def raised_message(what: str, error: BaseException) -> str:
    """The message of a UserCodeError: what raised which error, and where."""
    where = place(error)
    return f"{what} raised {described(error)}" + (f" ({where})" if where else "")
