"""The headers of Standard Webhooks, by which a receiver recognises a notice and its sender.

https://www.standardwebhooks.com (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

#: The prefix of a secret in base64; any other secret is used as UTF-8 text.
_PREFIX = "whsec_"
_LEAST_BYTES, _MOST_BYTES = 16, 64


def key_of(secret: str) -> bytes:
    """The key for a secret.

    :raises ValueError: it is too short or too long, or not base64 although it has the prefix.
    """
    if not secret:
        raise ValueError("it is empty: is its environment variable set?")
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"what follows {_PREFIX} is not base64") from error
    else:
        key = secret.encode()
    if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(
            f"it has {len(key)} bytes, and should have {_LEAST_BYTES} to {_MOST_BYTES}: "
            'echo "whsec_$(openssl rand -base64 32)" makes one'
        )
    return key


def signed_headers(notice_id: str, seconds: int, body: bytes, secret: str | None) -> dict[str, str]:
    """Make the headers with identifier, time and, if there is a secret, signature.

    :param seconds: the time of sending, in seconds since 1970: receivers refuse old notices.
    """
    headers = {"webhook-id": notice_id, "webhook-timestamp": str(seconds)}
    if secret is not None:
        content = f"{notice_id}.{seconds}.".encode() + body
        digest = hmac.new(key_of(secret), content, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers
