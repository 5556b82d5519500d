"""Modules and functions stay small, names say what a thing is, and nothing is left for later."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "tunneld").rglob("*.py"))
EVERYTHING = [
    path
    for folder in ("tunneld", "tests", "bench", "docs", "certs", "forwarding_profiles", ".ci")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and "node_modules" not in path.parts
    and path.suffix in {".py", ".md", ".toml", ".html", ".yaml", ".js", ".mjs", ".sh", ""}
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


TREES = {path: ast.parse(path.read_text()) for path in SOURCES}


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


def test_modules_are_small_and_introduce_themselves() -> None:
    """A module stops at 400 lines and begins with a sentence; an __init__ holds no logic."""
    for path, tree in TREES.items():
        limit = MAX_INIT if path.name == "__init__.py" else MAX_MODULE
        assert len(path.read_text().splitlines()) <= limit, relative(path)
        assert ast.get_docstring(tree), f"{relative(path)} does not say what it is"


def test_functions_are_small_and_take_few_positionals() -> None:
    """A body stops at 50 lines; what takes more than five arguments takes them by keyword."""
    faults = []
    for path, tree in TREES.items():
        for function in functions(tree):
            place = f"{relative(path)}:{function.lineno} {function.name}"
            positional = [a for a in function.args.posonlyargs + function.args.args if a.arg not in ("self", "cls")]
            if body_lines(function) > MAX_FUNCTION:
                faults.append(f"{place}: {body_lines(function)} lines")
            # A command's parameters are its options, which typer fills by keyword.
            if len(positional) > MAX_POSITIONAL and path.parent.name != "cli":
                faults.append(f"{place}: {len(positional)} positional parameters")
    assert not faults


def test_names_are_not_vague() -> None:
    """No module and no class is called a manager, a handler or a helper."""
    faults = [relative(path) for path in TREES if vague(path.stem)]
    for path, tree in TREES.items():
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        faults += [f"{relative(path)}:{node.lineno} {node.name}" for node in classes if vague(node.name)]
    assert not faults


def test_no_exception_is_swallowed() -> None:
    """Whoever catches everything does something about it."""
    faults = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "BaseException"
                idle = all(isinstance(statement, ast.Pass) for statement in node.body)
                if idle and caught in ("Exception", "BaseException"):
                    faults.append(f"{relative(path)}:{node.lineno}")
    assert not faults


def test_nothing_is_left_for_later_and_nothing_private_is_named() -> None:
    """No note of unfinished work, no placeholder, no address or path that only we can reach."""
    unwanted = re.compile(
        r"\b(TODO|FIXME|XXX|HACK)\b|Placeholder docstring"
        r"|https?://[a-z0-9.-]*(pypi|pythonhosted|artifactory|nexus|jfrog|registry)"
        r"|(^|[\s'\"(])/work/|\b(DESIGN|STYLE)\.md\b|\.\./shared",
        re.M,
    )
    faults = []
    for path in EVERYTHING:
        found = unwanted.search(path.read_text(errors="replace")) if path != Path(__file__) else None
        if found:
            faults.append(f"{relative(path)}: {found[0].strip()}")
    assert not faults


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
