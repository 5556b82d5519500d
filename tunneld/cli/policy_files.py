"""Policy as files: one readable JSON file an object, in a folder a kind, in a folder a tenant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tunneld.journal.files import write_atomic
from tunneld.model.errors import DocumentError
from tunneld.model.strict_json import unique_members
from tunneld.policy.plan import ObjectName, Written, title

MAX_FILE = 4 * 1024 * 1024  # an object is a few KiB; the API takes no larger body anyway
MAX_FILES = 50_000
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def write_objects(directory: Path, objects: Iterable[Mapping[str, Any]]) -> list[Path]:
    """Write a tenant's objects (`kind`, `id`, `body`), remove files of objects that are gone; return what is there.

    Only files of this layout are removed: `kind/name.json` below a folder of the tenant.
    """
    taken: set[Path] = set()
    for entry in sorted(objects, key=lambda entry: (entry["kind"], entry["id"])):
        path = _path(directory, entry["kind"], entry["id"], entry["body"], taken)
        taken.add(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(entry["body"], indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        if not path.exists() or path.read_text() != text:
            write_atomic(path, text.encode(), mode=0o644)
    for path in directory.glob("*/*.json"):
        if path not in taken:
            path.unlink()
    return sorted(taken)


def read_objects(directory: Path, keys: Mapping[str, str]) -> dict[ObjectName, Written]:
    """Read a tenant's files. `keys` names the member that carries each kind's id. Raises DocumentError."""
    if not directory.is_dir():
        raise DocumentError(str(directory), "", "no such folder", "write one with `tunneld policy export`")
    found: dict[ObjectName, Written] = {}
    paths = sorted(directory.glob("*/*.json"))
    if len(paths) > MAX_FILES:
        raise DocumentError(str(directory), "", f"more than {MAX_FILES} files")
    for path in paths:
        kind = path.parent.name
        if kind not in keys:
            known = ", ".join(sorted(keys))
            raise DocumentError(str(path), "", f"{kind!r} is no kind of policy object", f"a folder is one of: {known}")
        body = read_body(path)
        written = body.get(keys[kind])
        if not isinstance(written, str) or not written:
            mend = "give it a new GUID" if keys[kind] == "id" else f"write the object's {keys[kind]}"
            raise DocumentError(str(path), keys[kind], "the object's id is missing", mend)
        name = (kind, written.lower())
        if name in found:
            raise DocumentError(str(path), keys[kind], f"the same object as in {found[name].where}", "remove one")
        found[name] = Written(body, str(path))
    return found


def read_body(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file. Raises DocumentError with file, place and mend."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise DocumentError(str(path), "", error.strerror or "cannot be read", "name a file of JSON") from None
    if len(content) > MAX_FILE:
        raise DocumentError(str(path), "", f"larger than {MAX_FILE} bytes", "this is no policy object")
    try:
        body = json.loads(content, object_pairs_hook=unique_members)
    except json.JSONDecodeError as error:
        raise DocumentError(str(path), f"line {error.lineno}", error.msg, "mend the JSON") from None
    except (ValueError, RecursionError) as error:
        raise DocumentError(str(path), "", str(error) or "cannot be read", "mend the JSON") from None
    if not isinstance(body, dict):
        raise DocumentError(str(path), "line 1", "not a JSON object", "a file holds one object in braces")
    return body


def _path(directory: Path, kind: str, object_id: str, body: Mapping[str, Any], taken: set[Path]) -> Path:
    name = _UNSAFE.sub("-", title(body) or object_id).strip("-.")[:80] or object_id
    path = directory / kind / f"{name}.json"
    if path in taken or any(path.name.lower() == other.name.lower() for other in taken if other.parent == path.parent):
        tail = _UNSAFE.sub("-", object_id)[:36]
        path = directory / kind / f"{name}.{tail}.json"
    return path
