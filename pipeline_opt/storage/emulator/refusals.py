"""Answers that refuse a request, with the bodies that Google sends."""

from __future__ import annotations

import json
from typing import Final
from xml.sax.saxutils import escape

REASONS: Final = {
    400: ("invalid", "InvalidArgument"),
    401: ("required", "AuthenticationRequired"),
    403: ("forbidden", "AccessDenied"),
    404: ("notFound", "NoSuchKey"),
    405: ("methodNotAllowed", "MethodNotAllowed"),
    408: ("requestTimeout", "RequestTimeout"),
    409: ("conflict", "Conflict"),
    411: ("required", "MissingContentLength"),
    412: ("conditionNotMet", "PreconditionFailed"),
    416: ("requestedRangeNotSatisfiable", "InvalidRange"),
    429: ("rateLimitExceeded", "SlowDown"),
    500: ("internalError", "InternalError"),
    501: ("notImplemented", "NotImplemented"),
    502: ("badGateway", "BadGateway"),
    503: ("backendError", "ServiceUnavailable"),
    504: ("gatewayTimeout", "GatewayTimeout"),
}
"""By status: the reason in Google's JSON and the code in its XML."""

NO_BUCKET: Final = "The specified bucket does not exist"


class RefusalError(Exception):
    """Raised while a request is answered: it gets this status and message instead."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def json_body(status: int, message: str) -> bytes:
    """The body of a refusal by the JSON API."""
    reason = REASONS[status][0]
    errors = [{"message": message, "domain": "global", "reason": reason}]
    return json.dumps({"error": {"code": status, "message": message, "errors": errors}}).encode()


def xml_body(status: int, message: str) -> bytes:
    """The body of a refusal by the XML API."""
    code = "NoSuchBucket" if message.startswith(NO_BUCKET) else REASONS[status][1]
    said = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    return f"<?xml version='1.0' encoding='UTF-8'?><Error>{said}</Error>".encode()
