"""The reason why there was no answer, from the innermost cause of a library's exception."""

from __future__ import annotations

import os
import socket
import ssl


def reason_of(error: BaseException) -> str:
    """What happened to a connection: an error of certificates, names or the operating system; empty for any other."""
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
    """Whether the reason is the server's certificate."""
    return any(isinstance(one, ssl.SSLCertVerificationError) for one in causes_of(error))


def causes_of(error: BaseException) -> list[BaseException]:
    """An error with all errors that caused it or that it holds."""
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
