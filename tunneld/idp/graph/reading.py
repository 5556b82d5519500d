"""GET of one object and of a collection, for every row of the table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlencode

from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import ApiError
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.objects import etag, found, hidden, ids, shown
from tunneld.idp.graph.resource import Json, ResourceType
from tunneld.policy.kinds import KINDS
from tunneld.policy.odata import Page, Query, QueryError, parse_query, run_query, selected

_INLINE = 500  # objects that are filtered on the loop; more go to a thread, so that sign-ins do not wait


async def get_object(call: Call, row: ResourceType) -> Response:
    """Answer one object, conditionally (RFC 9110 §13.1.2)."""
    tenant = call.tenant
    key = row.singleton or row.find(tenant, call.parameter())
    own = row.permissions.own and key == call.user.oid
    call.require(row.permissions.own if own else row.permissions.read, row.scope(tenant, key))
    query = query_of(call, members_of(row))
    if query.filter is not None or query.order or query.after is not None:
        raise ApiError(400, "BadRequest", "One object takes $select alone.", target="$filter")
    value = found(call.directory, tenant, row, call.parameter())
    tag = etag(value)
    headers = {"etag": tag, "cache-control": "private, no-cache", "vary": "authorization"}
    if names_tag(call.request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    if query.select:
        del headers["etag"]  # the tag is of the whole representation
    return JSONResponse(selected(query, shown(row, tenant, call.user, value)), headers=headers)


async def list_objects(call: Call, row: ResourceType) -> Response:
    """Answer a page of a collection."""
    call.require(row.permissions.enumerate or row.permissions.read)
    query = query_of(call, members_of(row))
    directory = call.directory
    tenant = directory.tenants[call.tenant.id]

    def render(key: str) -> Json:
        return shown(row, tenant, call.user, found(directory, tenant, row, key))

    return await listing(call, query, ids(directory, tenant, row), render)


async def listing(call: Call, query: Query, keys: list[str], render: Callable[[str], Json]) -> Response:
    """Answer a page of anything that has keys."""
    if len(keys) > _INLINE:
        page = await asyncio.to_thread(run_query, query, keys, render)
    else:
        page = run_query(query, keys, render)
    return page_answer(call, query, page)


def page_answer(call: Call, query: Query, page: Page) -> JSONResponse:
    """Return a page with the link to the next one (OData JSON Format §4.6.5)."""
    body: Json = {}
    if query.count:
        body["@odata.count"] = page.total
    if page.next:
        kept = [pair for pair in call.request.query_params.multi_items() if pair[0].lstrip("$") != "skiptoken"]
        body["@odata.nextLink"] = (
            f"{call.provider.base_url}{call.request.url.path}?{urlencode([*kept, ('$skiptoken', page.next)])}"
        )
    body["value"] = list(page.values)
    return JSONResponse(body)


def query_of(call: Call, members: frozenset[str] | None) -> Query:
    """Read the query options. Raises ApiError(400)."""
    try:
        return parse_query(call.request.query_params.multi_items(), members)
    except QueryError as error:
        raise ApiError(400, "BadRequest", str(error), target=error.option) from None


def members_of(row: ResourceType) -> frozenset[str]:
    """Return the top-level members that a query may name."""
    model = KINDS[row.kind].model
    named = frozenset(field.alias or name for name, field in model.model_fields.items()) | row.read_only
    return named - hidden(row.kind)


def names_tag(header: str, tag: str) -> bool:
    """Tell whether an If-None-Match header names a tag (weak comparison, RFC 9110 §8.8.3.2)."""
    tags = {one.strip().removeprefix("W/") for one in header.split(",")}
    return tag in tags or "*" in tags
