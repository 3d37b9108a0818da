"""Elements whose value a function computes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from derived_series.dicom.blueprints.element import ABSENT, InstanceVirtualElement, Value, VirtualElement
from derived_series.dicom.blueprints.environment import ImageEnvironment, InstanceEnvironment, SeriesEnvironment
from derived_series.dicom.encoding.tags import TagLike, describe
from derived_series.errors import BlueprintError, DerivedSeriesError, UserCodeError
from derived_series.user_code import raised_message

#: Small, immutable types of answers, which are cached.
_PLAIN = (str, int, float, type(None), type(ABSENT))


class _CallingElement(VirtualElement):
    """Calls a function for its value; the function is checked when the element is created."""

    func: Callable[..., Value]

    def __init__(
        self,
        tag: TagLike,
        VR: Any = None,
        func: Any = None,
        name: str | None = None,
        *,
        creator: str | None = None,
    ):
        if func is None:
            VR, func = None, VR
        super().__init__(tag, VR, creator)
        if not callable(func):
            raise BlueprintError(f"{type(self).__name__} for {describe(self.tag)}: {func!r} cannot be called")
        self._set(func=func)
        self._check()

    def _check(self) -> None:
        """Check the signature. :raises BlueprintError: the function cannot be called as this element calls it."""

    def describe(self) -> str:
        name = getattr(self.func, "__qualname__", None) or repr(self.func)
        code = getattr(self.func, "__code__", None)
        if name.endswith("<lambda>") and code is not None:  # where it is tells more than that it has no name
            return f"lambda of {Path(code.co_filename).name}, line {code.co_firstlineno}"
        return name.rpartition("<locals>.")[2]

    def _call(self, *arguments: object) -> Value:
        try:
            return self.func(*arguments)
        except DerivedSeriesError:
            raise
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # user code: any exception, named with its element
            raise UserCodeError(raised_message(repr(self), error)) from error

    def _ask_once(self, value_cache: dict[tuple[object, int], Any], index: int, env: object) -> Value:
        """The function's answer for an instance, or for the image (-1): from the cache if it is a plain value."""
        key = (self, index)
        if key in value_cache:
            answer = value_cache[key]
            return list(answer) if isinstance(answer, list) else answer
        value = self._call(env)
        if isinstance(value, list | tuple) and all(isinstance(each, _PLAIN) for each in value):
            value_cache[key] = list(value)
        elif isinstance(value, _PLAIN):
            value_cache[key] = value
        return value


class SeriesElement(_CallingElement):
    """Calls a function once, for a value that all instances share.

    Calling convention: without arguments if the function allows it, else with the parent's pivot (its first instance
    along the normal, a pydicom Dataset). Bound methods, partials, classes and callable objects count as functions.
    """

    _with_pivot: bool

    def _check(self) -> None:
        plain, with_pivot = _accepts(self.func, 0), _accepts(self.func, 1)
        if not plain and not with_pivot:
            raise BlueprintError(f"{self!r}: the function must be callable with nothing or with the pivot Dataset")
        self._set(_with_pivot=not plain)

    def at_header(self, env: SeriesEnvironment) -> Value:
        return self._call(env.pivot) if self._with_pivot else self._call()


class HeaderElement(_CallingElement):
    """Calls a function of the SeriesEnvironment once, when the header is made."""

    func: Callable[[SeriesEnvironment], Value]

    def at_header(self, env: SeriesEnvironment) -> Value:
        return self._call(env)


class ImageElement(_CallingElement):
    """Calls a function of the ImageEnvironment once, when the image is known (encoding, window, grid)."""

    func: Callable[[ImageEnvironment], Value]

    def at_image(self, env: ImageEnvironment) -> Value:
        return self._ask_once(env.value_cache, -1, env)


class FunctionalElement(_CallingElement, InstanceVirtualElement):
    """Calls a function of the InstanceEnvironment for every instance.

    Calling convention: with the environment as the only argument. Text and numbers are cached, so the function is
    called once for an instance and the value that was checked is the one stored; Datasets are made again each time.
    """

    func: Callable[[InstanceEnvironment], Value]

    def _check(self) -> None:
        if not _accepts(self.func, 1):
            raise BlueprintError(
                f"{self!r}: the function must be callable with one argument, the InstanceEnvironment",
                remedy="wrap it: lambda env: function()",
            )

    def at_instance(self, env: InstanceEnvironment) -> Value:
        return self._ask_once(env.image_env.value_cache, env.index, env)


def _accepts(func: Callable[..., Value], count: int) -> bool:
    """Whether ``func`` can be called with ``count`` positional arguments."""
    try:
        signature = inspect.signature(func)
    except (ValueError, TypeError):  # some builtins have no signature: trust the caller
        return True
    try:
        signature.bind(*[cast(object, None)] * count)
    except TypeError:
        return False
    return True
