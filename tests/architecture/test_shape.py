"""Modules and functions stay small, names say what a thing is, and nothing is left for later."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "tunneld").rglob("*.py"))
EVERYTHING = [
    path
    for folder in ("tunneld", "tests", "bench", "docs", "certs", "forwarding_profiles", ".ci")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and path.suffix in {".py", ".md", ".toml", ".html", ".yaml", ".js", ".sh", ""}
] + [path for path in sorted(ROOT.iterdir()) if path.suffix in {".md", ".toml", ".lock"} or path.name == "Makefile"]

MAX_MODULE = 400
MAX_FUNCTION = 50
MAX_POSITIONAL = 5
MAX_INIT = 60  # an __init__ holds a docstring, re-exports or one table

# Words that say nothing about what a thing is, wherever they stand in a name or as what it ends in (a DATA frame of
# HTTP/2 may be received; a FlowData may not exist).
VAGUE = {"manager", "handler", "helper", "helpers", "util", "utils", "common", "misc", "processor", "impl"}
VAGUE_ENDINGS = VAGUE | {"base", "info", "data"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def vague(name: str) -> bool:
    """Tell whether a snake_case or CamelCase name leans on a word that says nothing."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    return bool(VAGUE & set(words)) or bool(words and words[-1] in VAGUE_ENDINGS)


def body_lines(function: Function) -> int:
    """Count the lines of a body, its docstring left out."""
    first = function.body[0]
    begin = (first.end_lineno or 0) + 1 if ast.get_docstring(function) else first.lineno
    return (function.end_lineno or begin) - begin + 1


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_module_is_small_and_introduces_itself(path: Path) -> None:
    """A module stops at 400 lines and begins with a sentence; an __init__ holds no logic."""
    text = path.read_text()
    limit = MAX_INIT if path.name == "__init__.py" else MAX_MODULE
    assert len(text.splitlines()) <= limit
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "the module does not say what it is"
    assert "Placeholder docstring" not in text


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_functions_are_small_and_take_few_positionals(path: Path) -> None:
    """A body stops at 50 lines; what takes more than five arguments takes them by keyword."""
    for function in functions(ast.parse(path.read_text())):
        place = f"{relative(path)}:{function.lineno} {function.name}"
        assert body_lines(function) <= MAX_FUNCTION, place
        positional = [a for a in function.args.posonlyargs + function.args.args if a.arg not in ("self", "cls")]
        assert len(positional) <= MAX_POSITIONAL, place


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_names_are_not_vague(path: Path) -> None:
    """No module and no class is called a manager, a handler or a helper."""
    assert not vague(path.stem)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            assert not vague(node.name), f"{relative(path)}:{node.lineno} {node.name}"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_exception_is_swallowed(path: Path) -> None:
    """Whoever catches everything does something about it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "BaseException"
            idle = all(isinstance(statement, ast.Pass) for statement in node.body)
            assert not (idle and caught in ("Exception", "BaseException")), f"{relative(path)}:{node.lineno}"


@pytest.mark.parametrize("path", EVERYTHING, ids=relative)
def test_nothing_is_left_for_later(path: Path) -> None:
    """No note of unfinished work, no address of a machine or a registry that only we can reach."""
    if path == Path(__file__):
        return
    text = path.read_text(errors="replace")
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)
    assert not re.search(r"https?://[a-z0-9.-]*(pypi|pythonhosted|artifactory|nexus|jfrog|registry)", text, re.I)
    assert not re.search(r"(^|[\s'\"(])/work/", text, re.M)
    assert not re.search(r"\b(DESIGN|STYLE)\.md\b|\.\./shared", text)


def test_lock_files_pin_every_package_and_name_no_index() -> None:
    """Each line of a lock file is name==version and nothing else."""
    for path in sorted(ROOT.glob("requirements*.lock")):
        pins = [line for line in path.read_text().splitlines() if line and not line.lstrip().startswith("#")]
        assert len(pins) > 10
        assert not [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", pin)]


def test_no_key_or_certificate_is_in_the_repository() -> None:
    """Key material is made on the machine that uses it."""
    key = re.compile("-----BEGIN " + r"(EC |RSA |)PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}")
    assert not [path for path in EVERYTHING if key.search(path.read_text(errors="replace"))]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    assert not [path for path in tracked if Path(path).suffix in {".pem", ".key", ".crt", ".csr", ".p12"}]
