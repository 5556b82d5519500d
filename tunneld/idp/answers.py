"""Error bodies: OAuth's (RFC 6749 §5.2, in the form that Microsoft's clients know) and the directory API's."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse

from tunneld.idp.boundary import as_guid
from tunneld.model.errors import TunneldError
from tunneld.policy.refusals import Refusal

_STATUS = {"invalid_client": 401, "server_error": 500, "temporarily_unavailable": 503}


class RequestError(TunneldError):
    """The request cannot be read or served; carries the answer up to the one place that writes it."""

    def __init__(self, refusal: Refusal, *, status: int | None = None) -> None:
        super().__init__(refusal.description)
        self.refusal = refusal
        self.status = status


class ApiError(TunneldError):
    """The same for the directory API, whose errors have another shape."""

    def __init__(
        self, status: int, code: str, message: str, *, target: str = "", details: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.target = target  # the member of the body that is meant
        self.details = details  # each with code, target and message
        self.headers = headers or {}


def correlation_of(request: Request) -> str:
    """Return the correlation id of a request."""
    return str(request.state.correlation_id)


def oauth_error(
    request: Request, refusal: Refusal, *, status: int | None = None, claims: str | None = None
) -> JSONResponse:
    """Return an OAuth error. Programs branch on `error`; `suberror` is our stable reason.

    `claims` names what the next sign-in has to satisfy.
    """
    correlation_id = as_guid(correlation_of(request))
    trace_id = as_guid(secrets.token_hex(16))
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    description = (
        f"{refusal.description} Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {now}"
    )
    body = {
        "error": refusal.error,
        "error_description": description,
        "error_codes": [refusal.code],
        "timestamp": now,
        "trace_id": trace_id,
        "correlation_id": correlation_id,
        "suberror": str(refusal.reason),
    }
    if claims is not None:
        body["claims"] = claims
    return JSONResponse(body, status_code=status or _STATUS.get(refusal.error, 400), headers={"pragma": "no-cache"})


def api_error(request: Request, refused: ApiError) -> JSONResponse:
    """Return an error of the directory API."""
    correlation_id = as_guid(correlation_of(request))
    inner = {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": as_guid(secrets.token_hex(16)),
        "client-request-id": correlation_id,
    }
    headers = dict(refused.headers)
    if refused.status == 401 and "www-authenticate" not in headers:
        # RFC 6750 §3. The message is one of ours: no quotes, no control characters.
        headers["www-authenticate"] = f'Bearer error="invalid_token", error_description="{refused.message}"'
    error: dict[str, object] = {"code": refused.code, "message": refused.message}
    if refused.target:
        error["target"] = refused.target
    if refused.details:
        error["details"] = list(refused.details)
    body = {"error": {**error, "innerError": inner}}
    return JSONResponse(body, status_code=refused.status, headers=headers)


def redirect_back(
    redirect_uri: str, parameters: Mapping[str, str | None], *, fragment: bool = False
) -> RedirectResponse:
    """Return a redirect to a client with `parameters` in its URI's query or fragment; None ones are left out."""
    query = urlencode({name: value for name, value in parameters.items() if value is not None})
    separator = "#" if fragment else "&" if "?" in redirect_uri else "?"
    # 303, so that a browser turns the POST of a password form into a GET (RFC 9700 §4.12).
    return RedirectResponse(f"{redirect_uri}{separator}{query}", status_code=303)
