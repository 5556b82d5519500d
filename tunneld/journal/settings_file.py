"""A program's settings file: TOML, read whole, checked against its model, and refused in one line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from tunneld.model.errors import DocumentError

MAX_FILE = 1024 * 1024  # thousands of connector entries; systemd stops at 1 MiB a line, nginx has no limit

Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    """A table of the file: frozen, and a key that nobody knows is an error rather than a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read_settings_text(path: Path) -> str:
    """Return the text of the file. Raises DocumentError."""
    where = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DocumentError(where, "", f"cannot be read ({error.strerror})", "give the path of a file") from None
    if len(data) > MAX_FILE:
        raise DocumentError(where, "", "is larger than 1 MiB", "keep long lists in forwarding profiles")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DocumentError(where, f"byte {error.start}", "is not UTF-8 text", "save it as UTF-8") from None


def check_settings(text: str, model: type[Model], *, where: str) -> Model:
    """Return the text's settings. Raises DocumentError with the file, the key and the mend, on one line."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at ")
        message = f"{message[:1].lower()}{message[1:]}"
        raise DocumentError(where, place.rstrip(")"), message, "correct the TOML syntax") from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise _first_fault(where, model, error) from None


def _first_fault(where: str, model: type[BaseModel], error: ValidationError) -> DocumentError:
    first = error.errors(include_url=False, include_context=False)[0]
    location = first["loc"]
    path = "".join(_steps(location))
    if first["type"] == "extra_forbidden":
        known = ", ".join(sorted(_fields_at(model, location[:-1])))
        return DocumentError(where, path, "is not a known key", f"known here: {known}")
    if first["type"] == "missing":
        return DocumentError(where, path, "is missing", f"add {location[-1]}")
    reason, _, mend = first["msg"].removeprefix("Value error, ").partition("; ")
    given = first["input"]
    showable = isinstance(given, str | int | float) and "password" not in path
    shown = f" (got {ascii(given)[:60]})" if showable else ""
    return DocumentError(where, path, f"{reason[:1].lower()}{reason[1:]}{shown}", mend or "correct the value")


def _steps(location: tuple[int | str, ...]) -> Iterator[str]:
    for position, step in enumerate(location):
        if isinstance(step, int):
            yield f"[{step}]"
        elif step != "[key]":  # pydantic's own mark for "the key itself, not its value"
            yield f".{step}" if position else step


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for step in location:
        field = model.model_fields.get(str(step))
        if field is not None:
            model = next(_models_in(field.annotation), model)
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation such as `tuple[Tenant, ...] | None` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
