"""The document: both syntaxes, what is refused, and that every refusal names file, path, line and mend on one line."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tomli_w

from tests.support.profiles import rule, values
from tunneld.forwarding import document as document_module
from tunneld.forwarding import syntax
from tunneld.forwarding.document import load_profile
from tunneld.model.errors import DocumentError
from tunneld.model.verdict import Action, Channel, Hardening, Protocol, SwitchPolicy

GOOD = values(
    rule("r0", "a.example", ports=[443, "8000-8100"], protocols=["tcp"], on_switch="drain:30", hardening="block"),
    rule("r1", "*.example", "10.0.0.0/8", application="quick", priority=5),
)


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    """Return GOOD with one element replaced or added; `...` removes it."""
    copy = json.loads(json.dumps(GOOD))
    place = copy
    for part in path[:-1]:
        place = place[part]
    if to is ...:
        del place[path[-1]]
    elif isinstance(place, list) and path[-1] == len(place):
        place.append(to)
    else:
        place[path[-1]] = to
    return copy


def refusal(text: str | bytes, where: str = "p.json") -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        load_profile(text, where=where)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(where)
    return caught.value


def test_json_and_toml_are_the_same_document() -> None:
    """Both syntaxes give equal documents, told apart by the file's name or else by the first character."""
    as_json, as_toml = json.dumps(GOOD), tomli_w.dumps(GOOD)
    first = load_profile(as_json, where="x.json")
    assert first == load_profile(as_toml, where="x.toml")
    assert first == load_profile(as_json, where="https://idp.example/profile")
    assert first == load_profile("\n" + as_toml, where="stdin")
    assert first == load_profile(b"\xef\xbb\xbf" + as_json.encode(), where="x.json")


def test_fields_and_defaults() -> None:
    """What is not written has the documented default."""
    document = load_profile(json.dumps(GOOD), where="x.json")
    first, second = document.rules
    assert (first.channel, first.priority, first.action) == (Channel.PRIVATE, 1000, Action.TUNNEL)
    assert first.on_switch == SwitchPolicy("drain", 30)
    assert first.protocols == (Protocol.TCP,)
    assert second.protocols == (Protocol.TCP, Protocol.UDP)
    assert second.ports == ()
    assert second.on_switch == SwitchPolicy("terminate")
    assert load_profile('{"schema":1,"id":"p","tenant":"T","version":0}', where="x").tenant == "t"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Hardening.BLOCK),
        ({"hardening": "bypass"}, Hardening.BYPASS),
        ({"channel": "internet"}, Hardening.BYPASS),
        ({"channel": "internet", "hardening": "block"}, Hardening.BLOCK),
        ({"action": "bypass"}, None),
        ({"action": "block", "hardening": "block"}, None),
    ],
)
def test_hardening_defaults_by_channel(fields: dict[str, str], expected: Hardening | None) -> None:
    """Private rules fail closed, others open, and what never tunnels has no hardening."""
    document = load_profile(json.dumps(values(rule("r", "a.example", **fields))), where="x.json")
    assert document.rules[0].effective_hardening is expected


FAULTS: list[tuple[tuple[str | int, ...], Any, str, str]] = [
    (("rules", 1, "destinations", 1), "10.0.0.1/8", "rules[1].destinations[1], line", "write 10.0.0.0/8"),
    (("rules", 0, "ports", 1), 70000, "rules[0].ports[1], line", "1 to 65535"),
    (("rules", 0, "ports", 1), "9-8", "rules[0].ports[1], line", 'write "8-9"'),
    (("rules", 0, "protocols", 0), "icmp", "rules[0].protocols[0], line", "write 'tcp' or 'udp'"),
    (("rules", 0, "on_switch"), "drain", "rules[0].on_switch, line", "drain:<seconds>"),
    (("rules", 0, "on_switch"), "drain:0", "rules[0].on_switch, line", "drain:<seconds>"),
    (("rules", 0, "on_switch"), 7, "rules[0].on_switch, line", "drain:<seconds>"),
    (("rules", 1, "id"), "r0", "rules[1].id, line", "an id of its own"),
    (("rules", 1, "id"), "a b", "rules[1].id, line", "letters, digits"),
    (("rules", 1, "id"), ..., "rules[1].id, line", "add id"),
    (("rules", 1, "application"), "quik", "rules[1].application, line", "did you mean 'quick'"),
    (("rules", 1, "application"), "zzz", "rules[1].application, line", "add it there"),
    (("rules", 1, "application"), ..., "rules[1], line", "name the application"),
    (("rules", 1, "prioritty"), 5, "rules[1].prioritty, line", "did you mean priority"),
    (("rules", 1, "xyzzy"), 5, "rules[1].xyzzy, line", "known fields: id, channel"),
    (("rules", 1, "priority"), True, "rules[1].priority, line", "should be a valid integer"),
    (("rules", 1, "priority"), -1, "rules[1].priority, line", "greater than or equal to 0"),
    (("rules", 1, "destinations"), [], "rules[1].destinations, line", "at least one"),
    (("rules", 1, "destinations"), ["a"] * 501, "rules[1].destinations, line", "at most 500"),
    (("rules", 1), 5, "rules[1], line", "named fields"),
    (("rules",), 5, "rules, line", "in brackets"),
    (("assignments",), 5, "assignments, line", "named fields"),
    (("assignments", "users"), [""], "assignments.users[0], line", "at least one"),
    (("assignments", "users"), ["x" * 300], "assignments.users[0], line", "at most 256"),
    (("assignments", "user_types"), ["robot"], "assignments.user_types[0], line", "'guest' or 'member'"),
    (("channels", "wormhole"), {"edge": "a:1"}, "channels.wormhole, line", "'internet'"),
    (("channels", "private"), ..., "rules[0].channel, line", "add channels.private with its edge"),
    (("channels", "private", "edge"), "name-alone", "channels.private.edge, line", "host:port"),
    (("channels", "private", "edge"), 5, "channels.private.edge, line", "host:port"),
    (("channels", "private", "address"), "name:5", "channels.private.address, line", "names go into `edge`"),
    (("channels", "private", "address"), "1.2.3.4", "channels.private.address, line", "address:port"),
    (("private_dns",), {"suffixes": [5]}, "private_dns.suffixes[0], line", "corp.example"),
    (("private_dns",), {"suffixes": ["a..b"]}, "private_dns.suffixes[0], line", "corp.example"),
    (("applications", 3), {"id": "app", "name": "x"}, "applications[3].id, line", "an id of its own"),
    (("applications", 0, "kind"), "slow", "applications[0].kind, line", "'quick_access'"),
    (("schema",), 2, "schema, line", "write 1"),
    (("schema",), ..., "schema", "add schema"),
    (("version",), "1", "version, line", "should be a valid integer"),
    (("tenant",), "a/b", "tenant, line", "letters, digits"),
    (("colour",), "red", "colour, line", "known fields: schema, id, tenant"),
]


@pytest.mark.parametrize("syntax_name", ["json", "toml"])
@pytest.mark.parametrize(("path", "value", "place", "mend"), FAULTS)
def test_faults_name_file_path_line_and_mend(
    path: tuple[str | int, ...], value: Any, place: str, mend: str, syntax_name: str
) -> None:
    """Each fault is reported where it is, in both syntaxes, and the line is the element's."""
    faulty = changed(*path, to=value)
    text = json.dumps(faulty, indent=1) if syntax_name == "json" else tomli_w.dumps(faulty)
    error = refusal(text, f"p.{syntax_name}")
    assert error.path.startswith(place)
    assert mend in error.mend
    if "line" in error.path and value is not ... and not isinstance(value, list | dict):
        line = text.splitlines()[int(error.path.rpartition(" ")[2]) - 1]
        assert str(path[-1]) in line or str(value) in line or json.dumps(value) in line or line.startswith("rules")


def test_further_faults_are_counted() -> None:
    """One line names the first fault and how many more there are."""
    text = json.dumps(changed("rules", 0, "ports", to=["a", "b", "c"]))
    assert refusal(text).mend.endswith("2 more faults in the file")
    text = json.dumps(changed("rules", 0, "ports", to=["a", "b"]))
    assert refusal(text).mend.endswith("1 more fault in the file")


@pytest.mark.parametrize(
    ("text", "where", "path", "message"),
    [
        ('{\n"schema": 1,\n}', "p.json", "line 3, column 1", "not JSON"),
        ('{"a":1,\n"b":[{"c":1,\n"d":2,\n"c":3}]}', "p.json", "b[0].c, line 4", "given twice"),
        ('{"a":\n1,"a":2,', "p.json", "line 2, column 9", "not JSON"),
        ('[\n{"a":1,"a":2}]', "p.json", "[0].a, line 2", "given twice"),
        ("[]", "p.json", "line 1", "not an object"),
        ("[1]", "stdin", "line 1", "not an object"),
        ("5", "p.json", "line 1", "not an object"),
        ('{"a": NaN}', "p.json", "", "NaN is not JSON"),
        ('{"a": %s}' % ("9" * 5000), "p.json", "", "not JSON: Exceeds"),
        ("[" * 100_000, "p.json", "", "nested too deeply"),
        ("a = 1\na = 2\nb = 3", "p.toml", "line 2, column 6", "not TOML"),
        ("a = ", "p.toml", "end of document", "not TOML"),
        ("a = 2020-13-45", "p.toml", "line 1", "not TOML"),
        ("a = " + "9" * 5000, "p.toml", "", "not TOML"),
        ("a = " + "[" * 100_000, "p.toml", "", "nested too deeply"),
        ("", "p.toml", "schema", "missing"),
        (b'{"a":\n"\xff"}', "p.json", "line 2", "not UTF-8"),
    ],
)
def test_broken_syntax(text: str | bytes, where: str, path: str, message: str) -> None:
    """Text that is no document is reported with the line of the first mistake."""
    error = refusal(text, where)
    assert error.path.startswith(path)
    assert message in error.message


def test_size_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that is too large is refused before it is parsed, one with too many destinations after."""
    monkeypatch.setattr(document_module, "MAX_DESTINATIONS", 2)
    error = refusal(json.dumps(GOOD))
    assert "more than 2 destinations" in error.message
    assert error.path.startswith("rules, line")
    monkeypatch.setattr(syntax, "MAX_DOCUMENT", 10)
    assert "larger than" in refusal("{" + " " * 10).message


def test_lines_in_toml_written_by_hand() -> None:
    """Lines are found through comments, inline tables, quoted keys, nested tables and arrays over several lines."""
    text = """# a comment
schema = 1
id = "p"      # rules = 5
tenant = "t"
version = 1
channels = { private = { edge = "e.example:1" } }
applications = [
  { id = "a", name = "A" },
  # { id = "commented" }
  { id = 'b', name = "B [,]", kind = "nonsense" },
]
"""
    assert refusal(text, "p.toml").path == "applications[1].kind, line 10"
    text = text.replace("nonsense", "enterprise") + '[[rules]]\n"id" = "r"\nchannel = "private"\napplication = "a"\n'
    ports = "destinations = [\n  'a.example',\n  # 'b'\n  'c..d'\n]\n"
    assert refusal(text + ports, "p.toml").path == "rules[0].destinations[1], line 19"
    assert refusal(text, "p.toml").path == "rules[0].destinations, line 12"
    nested = 'schema=1\nid="p"\ntenant="t"\nversion=1\n[channels.private]\n[channels.private.edge]\nx = 1\n'
    assert refusal(nested, "p.toml").path == "channels.private.edge, line 6"


def test_lines_in_json_of_one_line_and_of_many() -> None:
    """The line is the element's own, whatever the layout."""
    assert refusal(json.dumps(changed("version", to="x"))).path == "version, line 1"
    pretty = json.dumps(changed("rules", 1, "destinations", 0, to="a..b"), indent=2)
    wanted = next(number for number, line in enumerate(pretty.splitlines(), 1) if "a..b" in line)
    assert refusal(pretty).path == f"rules[1].destinations[0], line {wanted}"


def test_schema_is_published() -> None:
    """The JSON Schema speaks of the names in documents, and forbids what the loader forbids."""
    schema = document_module.ProfileDocument.model_json_schema(by_alias=True)
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"schema", "id", "tenant", "version"}
    fields = schema["$defs"]["Rule"]
    assert fields["additionalProperties"] is False
    assert set(fields["required"]) == {"id", "channel", "destinations"}
    assert fields["properties"]["destinations"]["maxItems"] == 500


def test_to_json_gives_the_document_back() -> None:
    """What is written out is what people write: ports as numbers and ranges, destinations as text."""
    document = load_profile(json.dumps(GOOD), where="x.json")
    written = document.to_json()
    assert written["rules"][0]["ports"] == [443, "8000-8100"]
    assert written["rules"][1]["destinations"] == ["*.example", "10.0.0.0/8"]
    assert written["schema"] == 1
    assert load_profile(json.dumps(written), where="x.json") == document
