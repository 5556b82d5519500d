"""The OpenAPI 3.1 document of the admin API, out of the same table that serves it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response

from tunneld.idp.graph.objects import hidden
from tunneld.idp.graph.resource import Json, Operation
from tunneld.idp.graph.table import OPERATIONS
from tunneld.policy.odata import DEFAULT_TOP, MAX_TOP

_REFUSALS = {
    "400": "The request is malformed, or contradicts other settings; `code` names the rule.",
    "401": "The token is missing or invalid, or a step-up is needed (`claims` in WWW-Authenticate).",
    "403": "The caller lacks the permission.",
    "404": "There is no such object.",
    "409": "There is such an object already, or another depends on this one.",
    "412": "If-Match does not name the object's state.",
    "413": "The body is larger than 1 MiB.",
    "415": "The body is not JSON.",
}
_TEXT: Json = {"type": "string"}
_OPTIONS: tuple[tuple[str, Json, str], ...] = (
    ("$filter", {"type": "string", "maxLength": 4096}, "eq ne gt ge lt le in and or not any() startswith() …"),
    ("$orderby", _TEXT, "Members, each with asc or desc."),
    ("$top", {"type": "integer", "minimum": 1, "maximum": MAX_TOP, "default": DEFAULT_TOP}, "Objects on a page."),
    ("$skiptoken", _TEXT, "Where the page begins; part of @odata.nextLink."),
    ("$count", {"type": "boolean"}, "Whether @odata.count is wanted."),
)
_SELECT = ("$select", _TEXT, "The members that are wanted, with commas.")


async def openapi_document(request: Request) -> Response:
    """Serve GET /{version}/$openapi."""
    version = request.url.path.split("/")[1]
    return Response(_rendered(version), media_type="application/json", headers={"cache-control": "max-age=300"})


@lru_cache(maxsize=4)
def _rendered(version: str) -> bytes:
    return json.dumps(build_document(OPERATIONS, version)).encode()


def build_document(operations: Sequence[Operation], version: str) -> Json:
    """Return the document of one version."""
    served = [operation for operation in operations if version in operation.versions]
    models = {model for one in served for model in (one.body, one.result) if model is not None}
    ordered = sorted(models, key=lambda model: (model.__name__, model.__module__))
    names, components = models_json_schema(
        [(model, mode) for model in ordered for mode in ("validation", "serialization")],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, Json] = {}
    for operation in served:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, names)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"tunneld admin API {version}", "version": version,
                 "description": "A mock of parts of Microsoft Graph, for tests."},
        "servers": [{"url": f"/{version}"}],
        "security": [{"bearer": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**_plain(components.get("$defs", {})), "Error": _ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


_ERROR: Json = {
    "type": "object", "required": ["error"],
    "properties": {"error": {
        "type": "object", "required": ["code", "message", "innerError"],
        "properties": {
            "code": _TEXT, "message": _TEXT, "target": _TEXT, "innerError": {"type": "object"},
            "details": {"type": "array", "items": {
                "type": "object", "required": ["code", "message"],
                "properties": {"code": _TEXT, "message": _TEXT, "target": _TEXT},
            }},
        },
    }},
}


def _operation(operation: Operation, names: Any) -> Json:  # pydantic's own map of names
    found: Json = {
        "operationId": _operation_id(operation), "summary": operation.summary, "tags": [_tag(operation)],
        "parameters": list(_parameters(operation)), "responses": _responses(operation, names),
    }
    if operation.permission:
        found["description"] = f"Permission: {operation.permission}"
    if operation.body is not None:
        schema = _request_schema(operation, names)
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def _operation_id(operation: Operation) -> str:
    words = re.findall(r"[A-Za-z0-9]+", operation.path)
    return operation.method.lower() + "".join(word[0].upper() + word[1:] for word in words)


def _tag(operation: Operation) -> str:
    return operation.tag or (operation.row.kind if operation.row is not None else operation.path.split("/")[1])


def _parameters(operation: Operation) -> Iterable[Json]:
    for name in re.findall(r"\{(\w+)\}", operation.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    if operation.method == "GET":
        options = (*_OPTIONS, _SELECT) if operation.listing else (_SELECT,)
        for name, schema, description in options if operation.result is not None else ():
            yield {"name": name, "in": "query", "schema": schema, "description": description}
    if operation.needs_match:
        yield {"name": "If-Match", "in": "header", "schema": _TEXT, "description": "The ETag that was read."}


def _request_schema(operation: Operation, names: Any) -> Json:  # as above
    assert operation.body is not None
    schema = {"$ref": names[operation.body, "validation"]["$ref"]}
    row = operation.row
    if row is None:
        return schema
    ignored = (row.read_only if row.chosen else row.read_only | {row.key}) | hidden(row.kind)
    wanted = operation.body.model_json_schema(ref_template="#/components/schemas/{model}")
    wanted.pop("$defs", None)
    # The members' schemas are those of the component; only what is required differs.
    properties = {name: {"$ref": f"{schema['$ref']}/properties/{_pointer(name)}"}
                  for name in wanted.get("properties", {}) if name not in ignored}
    required = [] if operation.partial else [name for name in wanted.get("required", ()) if name in properties]
    return {"type": "object", "properties": properties, "required": required}


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")  # RFC 6901 §3


def _responses(operation: Operation, names: Any) -> Json:  # as above
    responses: Json = {}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for status, text in _REFUSALS.items():
        responses[status] = {"description": text, "content": error}
    if operation.result is None:
        responses[str(operation.answer)] = {"description": "Done."}
        return responses
    schema = _result_schema(operation.result, names)
    if operation.listing:
        schema = {
            "type": "object", "required": ["value"],
            "properties": {"value": {"type": "array", "items": schema}, "@odata.nextLink": _TEXT,
                           "@odata.count": {"type": "integer"}},
        }
    content = {"application/json": {"schema": schema}}
    if operation.method == "GET":
        responses["304"] = {"description": "Not modified."}
    for status in {"PATCH": ("200", "204"), "PUT": ("201", "204")}.get(operation.method, (str(operation.answer),)):
        described: Json = {"description": "Done."}
        if status != "204":
            described["content"] = content
        responses[status] = described
    return responses


def _result_schema(model: type[BaseModel], names: Any) -> Json:  # as above
    """Return the schema of an answer: $select leaves members out, and a reader may see fewer, or annotations."""
    reference = names[model, "serialization"]["$ref"]
    described = model.model_json_schema(mode="serialization")
    unseen: frozenset[str] = getattr(model, "hidden", frozenset())
    names_unseen = {model.model_fields[name].alias or name for name in unseen}
    return {"type": "object", "properties": {
        name: {"$ref": f"{reference}/properties/{_pointer(name)}"}
        for name in described.get("properties", {}) if name not in names_unseen
    }}


def _plain(value: Any) -> Any:  # JSON of any shape
    """Drop what is no JSON schema for others: defaults that only fill in our models' own objects."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if not (name == "default" and isinstance(one, dict))}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value
