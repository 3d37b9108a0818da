"""Why there was no answer, in the words of whatever is at the bottom of what a library raises."""

from __future__ import annotations

import os
import socket
import ssl


def reason_of(error: BaseException) -> str:
    """What has happened to a connection: certificates, names and the operating system's errors; else empty."""
    causes = causes_of(error)
    for one in causes:
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {one.verify_message}"
        if isinstance(one, socket.gaierror):
            return "its name is not known here"
    for one in causes:
        if isinstance(one, ssl.SSLError):
            return _of_tls(one)
        if isinstance(one, TimeoutError):
            return "nothing comes back"
        if isinstance(one, OSError) and one.errno is not None and one.errno > 0:
            return os.strerror(one.errno)
    return ""


def is_untrusted(error: BaseException) -> bool:
    """Whether a server's certificate is the reason."""
    return any(isinstance(one, ssl.SSLCertVerificationError) for one in causes_of(error))


def causes_of(error: BaseException) -> list[BaseException]:
    """An error and all that it was raised because of, or holds."""
    causes: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and each not in causes:
            causes.append(each)
            waiting += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]
    return causes


def _of_tls(error: ssl.SSLError) -> str:
    reason = str(error.reason or error.args[-1])
    if "ALERT" in reason:
        return f"it refuses our certificate ({reason.replace('_', ' ').lower()})"
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"):
        return "it does not speak TLS"
    return f"TLS fails ({reason})"
