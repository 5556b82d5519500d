"""The URLs of the admin API: one route a path, in both versions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunneld.idp.graph.call import Call
from tunneld.idp.graph.openapi import openapi_document
from tunneld.idp.graph.resource import BETA, V1, Operation
from tunneld.idp.graph.table import OPERATIONS


def graph_routes() -> list[Route]:
    """Return the routes, literal paths ahead of those that a parameter would swallow."""
    paths: dict[tuple[str, str], dict[str, Operation]] = {}
    for operation in OPERATIONS:
        for version in operation.versions:
            methods = paths.setdefault((version, operation.path), {})
            assert operation.method not in methods, f"{operation.method} {operation.path} is in the table twice"
            methods[operation.method] = operation
    routes = [Route(f"/{version}/$openapi", openapi_document, methods=["GET"]) for version in (V1, BETA)]
    for (version, path), methods in sorted(paths.items(), key=lambda pair: _literal_first(pair[0][1])):
        routes.append(Route(f"/{version}{path}", _endpoint(methods, version), methods=sorted(methods)))
    return routes


def _literal_first(path: str) -> list[tuple[bool, str]]:
    return [(segment.startswith("{"), segment) for segment in path.split("/")]


def _endpoint(methods: Mapping[str, Operation], version: str) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        operation = methods[method]
        return await operation.run(Call.of(request, operation, version))

    return serve
