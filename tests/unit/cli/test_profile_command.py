"""`tunneld profile`: what it prints, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tests.support.profiles import rule, values
from tunneld.cli.profile import app

GOOD = values(rule("r", "a.corp.example", ports=[443]))
LEAKY = values(rule("r", "a.corp.example", ports=[443], hardening="bypass"))


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write_file(name: str, content: Any) -> str:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write_file


def test_compile_says_what_is_in_each_file(write: Any) -> None:
    """One line a file, or JSON with the same facts."""
    good = write("good.json", GOOD)
    done = run("compile", good)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(
        f"{good}: ok, profile profile version 1 of contoso: 1 rules (private 1), 1 destinations"
    )
    told = json.loads(run("compile", good, write("other.json", values()), "--json").stdout)
    assert [(each["rules"], each["destinations"], each["rules_by_channel"]) for each in told] == [
        (1, 1, {"private": 1}),
        (0, 0, {}),
    ]
    assert "(none)" in run("compile", write("none.json", values())).stdout


def test_lint_exits_with_1_for_warnings_alone(write: Any) -> None:
    """No finding and mere notes are status 0, a warning is 1; findings are lines or JSON."""
    assert run("lint", write("good.json", GOOD)).exit_code == 0
    leaky = write("leaky.json", LEAKY)
    done = run("lint", leaky)
    assert done.exit_code == 1
    assert done.stdout.startswith(f"{leaky}: rules[0].hardening [r]: warning: leak-prone: hardening bypass")
    assert done.stderr == f"{leaky}: 1 warnings, 0 notes\n"
    done = run("lint", leaky, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)[0]["findings"][0]["kind"] == "leak-prone"
    nobody = write("nobody.json", {**GOOD, "assignments": {}})
    assert "assignments: warning: unassigned" in run("lint", nobody).stdout
    notes = write("notes.json", values(rule("r", "*.corp.example")))
    assert run("lint", notes).exit_code == 0


def test_diff_exits_with_1_where_something_changes(write: Any) -> None:
    """As diff(1): 0 for none, 1 for some; a table or JSON."""
    good, other = write("good.json", GOOD), write("other.json", values(rule("r", "a.corp.example")))
    done = run("diff", good, good)
    assert (done.exit_code, done.stdout) == (0, "no destination changes its way\n")
    done = run("diff", good, other)
    assert done.exit_code == 1
    row = done.stdout.splitlines()[1].split()
    assert row == ["a.corp.example", "all", "1-442,", "444-65535", "direct", "tunnel", "private", "app"]
    changes = json.loads(run("diff", good, other, "--json").stdout)["changes"]
    assert {each["destination"] for each in changes} == {"a.corp.example"}


def test_schema(write: Any) -> None:
    """Without files the schema is printed; with files each is checked."""
    schema = json.loads(run("schema").stdout)
    assert schema["$schema"].endswith("2020-12/schema")
    assert "schema" in schema["required"]
    good = write("good.json", GOOD)
    assert run("schema", good).stdout == f"{good}: ok\n"
    assert json.loads(run("schema", good, "--json").stdout) == [{"file": good, "valid": True}]
    assert run("schema", write("bad.json", {})).exit_code == 2


@pytest.mark.parametrize("command", ["lint", "compile", "schema"])
def test_bad_input_is_one_line_and_status_2(command: str, write: Any) -> None:
    """File, path, line and mend on stderr, for every bad file; nothing on stdout, even for the good ones."""
    bad = write("bad.json", {**GOOD, "version": "x"})
    missing = str(Path(bad).with_name("missing.json"))
    done = run(command, write("good.json", GOOD), bad, missing)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"{bad}: version, line 1: 'x' is not usable here (it should be a valid integer)",
        f"{missing}: No such file or directory (give the path of a profile document)",
    ]


def test_diff_of_a_bad_file_is_status_2(write: Any) -> None:
    """Bad input is never taken for a difference."""
    assert run("diff", write("good.json", GOOD), write("bad.json", "{")).exit_code == 2


def test_stdin() -> None:
    """A dash reads standard input."""
    assert run("compile", "-", stdin=json.dumps(GOOD)).stdout.startswith("-: ok")
    assert run("compile", "-", stdin="{").stderr.startswith("stdin: line 1, column 2: not JSON")
