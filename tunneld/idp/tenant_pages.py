"""Pages below /{tenant}/: whose page it is and what was sent are read first, and what is wrong is said on a page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps

from starlette.requests import Request
from starlette.responses import Response

from tunneld.idp.answers import RequestError
from tunneld.idp.forms import read_form, read_query
from tunneld.idp.pages import refusal_page
from tunneld.idp.provider import Provider, provider_of
from tunneld.policy.directory import Tenant
from tunneld.policy.refusals import refusal

Fields = dict[str, str]
Serve = Callable[[Provider, Request, Tenant, Fields], Awaitable[Response]]


def tenant_page(serve: Serve) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint that reads tenant and fields (of the query, or of a form) and lets `serve` answer."""

    @wraps(serve)
    async def endpoint(request: Request) -> Response:
        provider = provider_of(request)
        tenant = provider.directory.tenant(request.path_params["tenant"])
        if tenant is None:
            return refusal_page(request, refusal(90002))
        try:
            fields = read_query(request) if request.method == "GET" else await read_form(request)
        except RequestError as refused:
            return refusal_page(request, refused.refusal, tenant)
        return await serve(provider, request, tenant, fields)

    return endpoint
