"""Finds out who sends a request, and from where: by the authorization plugin, by Orthanc, or by the request itself.

The authorization plugin knows users by tokens in headers, in its own format; it is asked by HTTP, with the headers
that came. That needs another of Orthanc's threads for a moment, so only a few requests ask at once.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from derived_series.dicomweb.client import Client, Connection
from derived_series.errors import Busy, DerivedSeriesError, Forbidden, InvalidRequest
from derived_series.jobs.plain import printable
from derived_series.orthanc.http import Request

_log = logging.getLogger(__name__)

#: The authorization plugin's route.
_PROFILE = "/auth/user/profile"

#: Seconds that the plugin may take to answer, and that a request waits for others that ask it.
_SECONDS = 5.0

#: Headers that say nothing about the sender, as do those with ``sec-``: they are about the message, or ours.
_NOT_OF_THE_USER = frozenset(
    {"host", "connection", "keep-alive", "transfer-encoding", "te", "upgrade", "expect", "accept", "accept-encoding"}
    | {"content-length", "content-type", "content-encoding", "if-none-match", "if-modified-since", "range", "prefer"}
    | {"origin", "referer", "x-derived-series-options", "x-derived-series-job", "x-derived-series-attempt"}
)
_LONGEST_NAME, _LONGEST_ADDRESS = 64, 200

Source: TypeAlias = Literal["AuthorizationPlugin", "Basic", "Request", "Rule", "Nobody"]


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request.

    :param user: None: unknown.
    :param source: who names the user: the authorization plugin; Orthanc, which has checked a password (RFC 7617); the
        request itself; a rule, which sends the request; nobody.
    :param address: of the other end of the connection, as Orthanc reports it.
    :param forwarded: the senders that proxies report: X-Forwarded-For, or Forwarded (RFC 7239).
    """

    user: str | None = None
    source: Source = "Nobody"
    address: str = ""
    forwarded: str = ""

    def to_json(self) -> dict[str, Any]:
        document = {"User": self.user, "Address": self.address, "ForwardedFor": self.forwarded}
        return {"UserFrom": self.source, **{key: value for key, value in document.items() if value}}


class Callers:
    """Finds out who sends a request.

    :param connection: to the authorization plugin. Its credentials are left out.
    :param has_profiles: the configuration has the authorization plugin, with users.
    :param authenticates: Orthanc accepts only users that it knows, so their names are true.
    :param at_once: the most requests that may ask the authorization plugin at a time.
    """

    def __init__(self, connection: Connection, *, has_profiles: bool, authenticates: bool, at_once: int):
        self._connection = dataclasses.replace(connection, authorization=None, headers=())
        self._has_profiles = has_profiles
        self._authenticates = authenticates
        self._places = threading.BoundedSemaphore(max(1, at_once))

    def of(self, request: Request, named: str | None = None) -> Caller:
        """The sender of a request. If it cannot be known, the log says why, and the sender is nobody.

        :param named: the name in the request itself.
        :raises InvalidRequest: it is another's.
        """
        try:
            return self._caller(request, named)
        except (Busy, Forbidden) as error:
            _log.warning("%s %s: who asks is not known: %s", request.method, request.uri, error.message)
            return Caller(None, "Nobody", *_place(request))

    def known(self, request: Request, named: str | None) -> Caller:
        """The sender of a request that nobody may send anonymously.

        :raises InvalidRequest: the request names nobody, or somebody other than its sender. :raises Forbidden: the
            authorization plugin does not know the sender. :raises Busy: the plugin does not answer.
        """
        caller = self._caller(request, named)
        if caller.user is None:
            raise InvalidRequest('"User" is required', remedy="say whose verdict it is: a person name or a user name")
        return caller

    def name_of(self, request: Request) -> str | None:
        """The sender's name, if something other than the request itself gives it."""
        try:
            return self._checked(request)[0]
        except DerivedSeriesError:
            return None

    def _caller(self, request: Request, named: str | None) -> Caller:
        user, source = self._checked(request)
        if user is None:
            return Caller(named, "Nobody" if named is None else "Request", *_place(request))
        if named not in (None, user):
            raise InvalidRequest(
                f"the request is sent by {user!r}, in the name of {named!r}", remedy='leave "User" out'
            )
        return Caller(user, source, *_place(request))

    def _checked(self, request: Request) -> tuple[str | None, Source]:
        if self._has_profiles:
            return self._profile_name(request), "AuthorizationPlugin"
        if self._authenticates and (name := _basic_name(request.headers)):
            return name, "Basic"
        return None, "Nobody"

    def _profile_name(self, request: Request) -> str:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name not in _NOT_OF_THE_USER and not name.startswith("sec-")
        }
        if not self._places.acquire(timeout=_SECONDS):
            raise Busy("too many requests ask the authorization plugin at once", remedy="try again in a moment")
        try:
            with Client(self._connection) as client:
                answer = client.send("GET", self._connection.url(_PROFILE), headers=headers, timeout=_SECONDS)
                profile = answer.json() if answer.status_code == 200 and answer.content else None
        except (DerivedSeriesError, ValueError) as error:
            raise Busy(
                f"the authorization plugin does not say who asks ({_PROFILE})",
                remedy="see Orthanc's log; OrthancUrl in the configuration is where it is asked",
            ) from error
        finally:
            self._places.release()
        name = profile.get("name") if isinstance(profile, dict) else None
        if not isinstance(name, str) or not name.strip():
            raise Forbidden(
                f"the authorization plugin does not know who asks ({_PROFILE} answers {answer.status_code})",
                remedy="send the token in a header: a token in the address of a POST does not reach plugins",
            )
        return printable(name, _LONGEST_NAME)


def _place(request: Request) -> tuple[str, str]:
    """The address of a request's sender, and the senders that proxies report."""
    forwarded = request.headers.get("x-forwarded-for") or request.headers.get("forwarded", "")
    return request.address, printable(forwarded, _LONGEST_ADDRESS)


def _basic_name(headers: Mapping[str, str]) -> str | None:
    """The user's name that Orthanc has checked (RFC 7617)."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, _ = base64.b64decode(token, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return name if colon and name else None
