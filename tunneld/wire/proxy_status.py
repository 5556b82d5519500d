"""The HTTP status and the `Proxy-Status` field (RFC 9209) that say a reason, for every program that answers HTTP."""

from __future__ import annotations

from typing import NamedTuple

from tunneld.model.reasons import Kind, Reason
from tunneld.wire.handshake import require_refusal


class HttpAnswer(NamedTuple):
    """A status code and a registered proxy error type (RFC 9209 §2.3), None where nothing went wrong."""

    status: int
    error: str | None


ANSWER_BY_KIND: dict[Kind, HttpAnswer] = {
    Kind.OK: HttpAnswer(200, None),
    Kind.DENIED: HttpAnswer(403, "http_request_denied"),
    Kind.UNAUTHENTICATED: HttpAnswer(403, "http_request_denied"),
    # RFC 9110 §15.5.8: whoever sends 407 must add Proxy-Authenticate.
    Kind.STEP_UP: HttpAnswer(407, "http_request_denied"),
    Kind.REFUSED: HttpAnswer(502, "connection_refused"),
    Kind.UNREACHABLE: HttpAnswer(502, "destination_unavailable"),
    Kind.TIMEOUT: HttpAnswer(504, "connection_timeout"),
    Kind.RESET: HttpAnswer(502, "connection_terminated"),
    Kind.LIMIT: HttpAnswer(503, "connection_limit_reached"),
    Kind.MALFORMED: HttpAnswer(400, "http_request_error"),
    Kind.UNSUPPORTED: HttpAnswer(501, "http_request_denied"),
    Kind.INTERNAL: HttpAnswer(500, "proxy_internal_error"),
}

# RFC 9209 §2.1.1: the most specific error type SHOULD be sent.
ANSWER_BY_REASON: dict[Reason, HttpAnswer] = {
    Reason.FORBIDDEN_DESTINATION: HttpAnswer(403, "destination_ip_prohibited"),
    Reason.NAME_NOT_RESOLVED: HttpAnswer(502, "dns_error"),
    Reason.ORIGIN_UNREACHABLE: HttpAnswer(502, "destination_ip_unroutable"),
    Reason.CERTIFICATE_INVALID: HttpAnswer(502, "tls_certificate_error"),
    Reason.HANDSHAKE_TIMEOUT: HttpAnswer(408, "http_request_error"),
    Reason.PROXY_AUTH_REQUIRED: HttpAnswer(407, "http_request_denied"),
}


def answer_for(reason: Reason) -> HttpAnswer:
    """Return the status and error type that say `reason`."""
    return ANSWER_BY_REASON.get(reason) or ANSWER_BY_KIND[reason.kind]


def encode_proxy_status(reason: Reason) -> str:
    """Return the field value for a refusal: who says it, the error type, and the stable name of the reason."""
    require_refusal(reason)
    # A reason's value is a token, so quoting it makes a valid Structured Fields string (RFC 8941 §3.3.3).
    return f'tunneld; error={answer_for(reason).error}; details="{reason.value}"'


def decode_proxy_status(value: str) -> tuple[str | None, str | None]:
    """Return (error type, details) of a field value as proxies write it; None for what is not there."""
    found: dict[str, str] = {}
    for part in value.split(";")[1:]:
        name, equals, text = part.strip().partition("=")
        if equals:
            found.setdefault(name.lower(), text.strip().strip('"'))
    return found.get("error"), found.get("details")
