"""Reading a JSON body: bounded in size and depth, no member twice, no annotation, and every fault a sentence."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from tunneld.idp.answers import ApiError
from tunneld.idp.graph.resource import Json
from tunneld.model.strict_json import no_constant, unique_members

MAX_DEPTH = 32  # Graph's deepest type, a Conditional Access policy, has six levels
MAX_FAULTS = 20

_MISTAKE = "BadRequest"


async def read_json(request: Request) -> Json:
    """Return the body's object without `@odata` annotations. Raises ApiError(400, 415)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "UnsupportedMediaType", "The body is JSON: content-type application/json.")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise ApiError(415, "UnsupportedMediaType", "The body is sent without a content coding.")
    body = await request.body()
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=unique_members, parse_constant=no_constant)
    except UnicodeDecodeError:
        raise ApiError(400, _MISTAKE, "The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise ApiError(400, _MISTAKE, f"The body is not JSON: {error.msg} in line {error.lineno}.") from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ApiError(400, _MISTAKE, f"The body cannot be read: {reason}.") from None
    if not isinstance(value, dict):
        raise ApiError(400, _MISTAKE, "The body is not a JSON object.")
    _bound(value, MAX_DEPTH)
    return value


def without_annotations(value: Any, kept: frozenset[str]) -> Any:  # JSON of any shape
    """Drop `@odata.…` and `member@odata.…`, except those that the model declares (`@odata.type` of a union)."""
    if isinstance(value, dict):
        return {
            name: without_annotations(one, kept) for name, one in value.items() if "@odata." not in name or name in kept
        }
    if isinstance(value, list):
        return [without_annotations(one, kept) for one in value]
    return value


@lru_cache(maxsize=256)
def annotations_of(model: type[BaseModel]) -> frozenset[str]:
    """Return the annotations that a model, or one inside it, takes as a member."""
    found: set[str] = set()

    def walk(schema: Any) -> None:  # a JSON schema
        if isinstance(schema, dict):
            properties = schema.get("properties")
            if isinstance(properties, dict):
                found.update(name for name in properties if "@odata." in name)
            for one in schema.values():
                walk(one)
        elif isinstance(schema, list):
            for one in schema:
                walk(one)

    walk(model.model_json_schema())
    return frozenset(found)


def invalid(error: ValidationError) -> ApiError:
    """Return the answer to a document that its model refused: each fault with its member."""
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    details = [_fault(fault["type"], fault["loc"], fault["msg"]) for fault in faults[:MAX_FAULTS]]
    first = details[0]
    message = f"{first['target']}: {first['message']}" if first["target"] else first["message"]
    return ApiError(400, _MISTAKE, message, target=first["target"], details=details)


def _fault(kind: str, place: tuple[int | str, ...], message: str) -> dict[str, str]:
    if kind == "extra_forbidden":
        return {"code": "unknownMember", "target": _place(place), "message": "there is no such member"}
    return {"code": "invalidValue", "target": _place(place), "message": _sentence(message)}


def reinterpreted(given: Any, understood: Any, place: str = "") -> str | None:  # JSON of any shape
    """Return the place of a value that its model took for another type: "yes" for true, "5" for 5.

    pydantic's own strict mode would refuse lists where a validator runs before a model with tuples.
    """
    if isinstance(given, dict) and isinstance(understood, dict):
        pairs = [(f"{place}.{name}" if place else name, one, understood[name])
                 for name, one in given.items() if name in understood]
    elif isinstance(given, list) and isinstance(understood, list) and len(given) == len(understood):
        pairs = [(f"{place}[{index}]", *pair) for index, pair in enumerate(zip(given, understood, strict=True))]
    else:
        same = _sort(given) == _sort(understood) or given is None or understood is None
        return None if same else place
    found = (reinterpreted(one, other, where) for where, one, other in pairs)
    return next((where for where in found if where is not None), None)


def _sort(value: object) -> str:
    if isinstance(value, bool):
        return "truth"
    return "number" if isinstance(value, int | float) else type(value).__name__


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ")[:400]


def _place(parts: tuple[int | str, ...]) -> str:
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            # A union's tags and an odd name of the client are shown as far as they are names.
            name = "".join(letter if letter.isprintable() else "?" for letter in part)[:128]
            text += f".{name}" if text else name
    return text


def _bound(value: object, left: int) -> None:
    if left < 0:
        raise ApiError(400, _MISTAKE, f"The body is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, dict):
        for one in value.values():
            _bound(one, left - 1)
    elif isinstance(value, list):
        for one in value:
            _bound(one, left - 1)
    elif isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise ApiError(400, _MISTAKE, "A number is larger than any that can be kept.")
