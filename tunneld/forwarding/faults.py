"""A validator's faults, said in the document's words: file, path, line, what is wrong and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tunneld.forwarding.destinations import UnusableError
from tunneld.forwarding.places import Path
from tunneld.forwarding.syntax import Source, show_path
from tunneld.model.errors import DocumentError

Fields = Mapping[str, Sequence[str]]


def document_error(error: ValidationError, source: Source, fields: Fields) -> DocumentError:
    """Report the first fault, the others as a count: a mended file is checked again anyway.

    `fields` names what each section ("" is the top) may hold.
    """
    fault = error.errors(include_url=False)[0]
    cause = fault.get("ctx", {}).get("error")
    path: Path = tuple(part for part in fault["loc"] if part != "[key]")
    if isinstance(cause, UnusableError):
        path, message, mend = (*path, *cause.path), str(cause), cause.mend
    else:
        message, mend = _in_words(fault, path, fields)
    others = error.error_count() - 1
    if others:
        mend = f"{mend}; {others} more fault{'s' if others > 1 else ''} in the file"
    line = source.line_of(path)
    place = show_path(path) + (f", line {line}" if line else "")
    return DocumentError(source.where, place, message, mend)


def _in_words(fault: ErrorDetails, path: Path, fields: Fields) -> tuple[str, str]:
    """Return message and mend for a fault that the model's types found."""
    name = str(path[-1])
    context = fault.get("ctx", {})
    match fault["type"]:
        case "missing":
            return "the field is missing", f"add {name}"
        case "extra_forbidden" | "unexpected_keyword_argument":
            known = fields[str(path[0]) if len(path) > 1 else ""]
            close = difflib.get_close_matches(name, known, n=1)
            return "unknown field", f"did you mean {close[0]}?" if close else f"known fields: {', '.join(known)}"
        case "string_pattern_mismatch":
            mend = "use letters, digits and . _ -, beginning with a letter or digit, at most 128"
            return f"{shown(fault['input'])} is not usable here", mend
        case "enum" | "literal_error":
            return f"{shown(fault['input'])} is not known here", f"write {context['expected']}"
        case "too_short" | "string_too_short":
            return "it is empty", "give it at least one value"
        case "too_long" | "string_too_long":
            return "it is too long", f"at most {context['max_length']:,}"
        case "dataclass_type" | "model_type" | "dict_type" | "model_attributes_type":
            return f"{shown(fault['input'])} is not an object", "write it with named fields"
        case "tuple_type":
            return f"{shown(fault['input'])} is not a list", "write it in brackets"
        case _:
            return f"{shown(fault['input'])} is not usable here", fault["msg"].replace("Input", "it", 1)


def shown(value: object) -> str:
    """Return a value as an error quotes it: on one line, and short."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
