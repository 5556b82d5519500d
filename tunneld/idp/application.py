"""Which URL goes where, and what becomes of everything that goes wrong."""

from __future__ import annotations

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from tunneld.idp.answers import ApiError, RequestError, api_error, oauth_error
from tunneld.idp.authorize import authorize
from tunneld.idp.boundary import API_PREFIXES, BodyTooLargeError, Boundary
from tunneld.idp.certificates import certificate
from tunneld.idp.database import DatabaseAwayError
from tunneld.idp.device import device_auth, device_code
from tunneld.idp.devices import device_nonce, enroll_device
from tunneld.idp.federation.arrival import openid_arrival, passive_arrival
from tunneld.idp.graph.me import my_forwarding_profile, my_tenants
from tunneld.idp.graph.routes import graph_routes
from tunneld.idp.guests.branding import branding_style
from tunneld.idp.guests.my_apps import my_apps
from tunneld.idp.guests.redeem import redeem
from tunneld.idp.guests.sign_up import sign_up
from tunneld.idp.metadata import discovery, key_set, logout, userinfo
from tunneld.idp.own_methods import security_info
from tunneld.idp.pages import script, style_sheet
from tunneld.idp.provider import Provider
from tunneld.idp.restrictions import restrictions
from tunneld.idp.token import token
from tunneld.model.reasons import Reason
from tunneld.policy.refusals import refusal

_OWN_APIS = ("/tunnel/v1/", "/devices/v1/", "/oidc/")

_log = structlog.get_logger("idp")

RETRY_S = 5  # a choice: a database server restarts in a few seconds

ROUTES = [
    Route("/v1.0/me/tenants", my_tenants, methods=["GET"]),
    Route("/v1.0/networkAccess/me/forwardingProfile", my_forwarding_profile, methods=["GET"]),
    *graph_routes(),
    Route("/assets/pages.css", style_sheet, methods=["GET"]),
    Route("/assets/passkey.js", script, methods=["GET"]),
    Route("/assets/reply.js", script, methods=["GET"]),
    Route("/login.srf", passive_arrival, methods=["POST"]),
    Route("/{tenant}/federation/oauth2", openid_arrival, methods=["GET"]),
    Route("/oidc/userinfo", userinfo, methods=["GET", "POST"]),
    Route("/{tenant}/.well-known/openid-configuration", discovery, methods=["GET"]),
    Route("/{tenant}/v2.0/.well-known/openid-configuration", discovery, methods=["GET"]),
    Route("/{tenant}/discovery/v2.0/keys", key_set, methods=["GET"]),
    Route("/{tenant}/oauth2/v2.0/authorize", authorize, methods=["GET", "POST"]),
    Route("/{tenant}/oauth2/v2.0/token", token, methods=["POST"]),
    Route("/{tenant}/oauth2/v2.0/devicecode", device_code, methods=["POST"]),
    Route("/{tenant}/oauth2/v2.0/deviceauth", device_auth, methods=["GET", "POST"]),
    Route("/{tenant}/oauth2/v2.0/logout", logout, methods=["GET"]),
    Route("/{tenant}/tunnel/v1/certificate", certificate, methods=["POST"]),
    Route("/{tenant}/tunnel/v1/restrictions", restrictions, methods=["POST"]),
    Route("/{tenant}/redeem", redeem, methods=["GET", "POST"]),
    Route("/{tenant}/myapps", my_apps, methods=["GET", "POST"]),
    Route("/{tenant}/signup/{flow}", sign_up, methods=["GET", "POST"]),
    Route("/{tenant}/branding.css", branding_style, methods=["GET"]),
    Route("/{tenant}/mysecurityinfo", security_info, methods=["GET", "POST"]),
    Route("/{tenant}/devices/v1/nonce", device_nonce, methods=["POST"]),
    Route("/{tenant}/devices/v1/enroll", enroll_device, methods=["POST"]),
]


def build_application(provider: Provider) -> ASGIApp:
    """Return the ASGI application that serves `provider`."""
    application = Starlette(
        routes=ROUTES,
        exception_handlers={
            RequestError: _refused,
            ApiError: _api_refused,
            BodyTooLargeError: _too_large,
            ClientDisconnect: _gone,
            DatabaseAwayError: _away,
            HTTPException: _http_refused,
            Exception: _failed,
        },
    )
    application.state.provider = provider
    application.state.internal_errors = 0
    return Boundary(application)


def _is_api(request: Request) -> bool:
    return request.url.path.startswith(API_PREFIXES) or any(part in request.url.path for part in _OWN_APIS)


async def _refused(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, RequestError)
    return oauth_error(request, refused.refusal, status=refused.status)


async def _api_refused(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, ApiError)
    return api_error(request, refused)


async def _too_large(request: Request, refused: Exception) -> Response:
    del refused
    if _is_api(request):
        return api_error(request, ApiError(413, "request_too_large", "The body is too large."))
    too_large = refusal(90014, "The body is larger than 64 KiB.", reason=Reason.MALFORMED_REQUEST)
    return oauth_error(request, too_large, status=413)


async def _gone(request: Request, refused: Exception) -> Response:
    """The client left before its request was complete: nobody reads this answer, and nothing of ours is wrong."""
    del request, refused
    return Response(status_code=400)


async def _away(request: Request, error: Exception) -> Response:
    """The database is away: nothing is decided without it, and the client may come again (RFC 9110 §15.6.4)."""
    _log.warning("database_away", correlation_id=request.state.correlation_id, error=str(error))
    headers = {"retry-after": str(RETRY_S)}
    if _is_api(request):
        message = "The state cannot be reached for now. Try again soon."
        return api_error(request, ApiError(503, "serviceUnavailable", message, headers=headers))
    response = oauth_error(request, refusal(90024))
    response.headers.update(headers)
    return response


async def _http_refused(request: Request, refused: Exception) -> Response:
    """Answer what the router says (404, 405) in the body form of the API that was meant."""
    assert isinstance(refused, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(refused.status_code, "invalid_request")
    if _is_api(request):
        response: Response = api_error(request, ApiError(refused.status_code, code, refused.detail))
    else:
        response = oauth_error(request, refusal(90014, f"{refused.detail}."), status=refused.status_code)
    for name, value in (refused.headers or {}).items():
        response.headers[name] = value
    return response


async def _failed(request: Request, error: Exception) -> Response:
    """A defect of ours: say so without detail, count it, and log the trace with the correlation id."""
    request.app.state.internal_errors += 1
    _log.error("internal_error", correlation_id=request.state.correlation_id, exc_info=error)
    if _is_api(request):
        return api_error(request, ApiError(500, "internal_error", "An unexpected error happened."))
    return oauth_error(request, refusal(90090))
