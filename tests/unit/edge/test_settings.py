"""The edge's settings file: what it means, and how each mistake is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.edge_settings import GOOD, settings
from tests.support.tokens import ISSUER, TENANT
from tunneld.edge.settings import DAEMON_CLIENT, load_settings, map_key
from tunneld.journal.settings_file import MAX_FILE
from tunneld.model.errors import DocumentError
from tunneld.model.verdict import Channel, Protocol


def test_a_good_file_is_frozen_values_with_absolute_paths() -> None:
    """Relative paths count from the file, destinations have one spelling, defaults fill the rest."""
    parsed = settings()
    (tenant,) = parsed.tenant
    assert parsed.edge.listen == ("127.0.0.1:0",)
    assert parsed.edge.records == Path("/etc/tunneld/flows.jsonl")
    assert tenant.profiles == (Path("/etc/tunneld/profile.json"),)
    assert tenant.key == Path("/etc/tunneld/ours-edge.key")
    assert set(tenant.channels) == {Channel.PRIVATE}
    assert tenant.clients == {DAEMON_CLIENT}
    assert dict(parsed.connector.map) == {
        "files.example:80": "127.0.0.1:8000",
        "files.example:53/udp": "127.0.0.1:5353",
        "[2001:db8::1]:80": "[::1]:80",
    }
    assert parsed.keys.unknown_s == 300
    with pytest.raises(ValueError, match="frozen"):
        parsed.edge.domain = "other"  # type: ignore[misc]


def test_several_listeners_and_own_connectors_are_possible() -> None:
    """A list of addresses listens on each; a tenant's own connector replaces the common one."""
    text = GOOD.replace('"127.0.0.1:0"', '["127.0.0.1:0", "[::1]:8443"]').replace("[connector", "[tenant.connector")
    parsed = settings(text.replace('records = "flows.jsonl"', ""))
    assert parsed.edge.listen == ("127.0.0.1:0", "[::1]:8443")
    assert parsed.edge.records is None
    own = parsed.tenant[0].connector
    assert own is not None
    assert len(own.map) == 3
    assert not parsed.connector.map


SECOND = GOOD.split("[[tenant]]")[1].split("[connector]")[0]

MISTAKES = [
    ('domain = "edge.test"', "", "edge.toml: edge.domain: is missing (add domain)"),
    ('domain = "edge.test"', "domain = 5", "edge.domain: input should be a valid string (got 5)"),
    ('domain = "edge.test"', 'domain = "Edge.Test"', "edge.domain: string should match pattern"),
    ('"127.0.0.1:0"', '"localhost:0"', "edge.listen[0]: not address:port (got 'localhost:0') (write it like"),
    ('"127.0.0.1:0"', '"127.0.0.1"', "edge.listen[0]: not address:port"),
    ('"127.0.0.1:0"', '"127.0.0.1:70000"', "edge.listen[0]: not address:port"),
    ('"127.0.0.1:0"', "[]", "edge.listen: "),
    ('"127.0.0.1:0"', "5", "edge.listen: "),
    ("[edge]", "[edge", "edge.toml: line 2, column 6: expected ']'"),
    ("[edge]", "[edge]\ncolour = 1", "edge.colour: is not a known key (known here: domain, interop, listen, "),
    ("[edge]", "[colours]\n[edge]", "colours: is not a known key"),
    ('name = "contoso"', 'name = "Con toso"', "tenant[0].name: string should match pattern"),
    (f'id = "{TENANT}"', 'id = "contoso"', "tenant[0].id: not a GUID (got 'contoso') (write 32 lower-case"),
    (ISSUER, ISSUER.replace("https", "http"), "tenant[0].issuer: not an https address"),
    (ISSUER, "https://login.test/common/v2.0", "tenant[0]: the issuer does not contain the tenant's id (copy both"),
    ("/discovery/v2.0/keys", "/keys?x=1", "tenant[0].jwks_url: not an https address"),
    ('["profile.json"]', "[]", "tenant[0].profiles: tuple should have at least 1 item"),
    ("private =", "privat =", "tenant[0].channels.privat: input should be 'entra', 'microsoft', 'private' or"),
    ('"Files.Example.:80"', '"files.example"', "connector.map.files.example: not host:port"),
    ('"Files.Example.:80"', '"files.example:80/sctp"', "connector.map.files.example:80/sctp: unknown protocol"),
    ('"Files.Example.:80"', '"0x7f.1:80"', "connector.map.0x7f.1:80: not host:port (not a host name)"),
    ('"127.0.0.1:8000"', '"localhost:8000"', "not address:port (got 'localhost:8000') (write it like 127.0.0.1:9009)"),
    ('"127.0.0.1:8000"', '"127.0.0.1:0"', "not host:port (out of range)"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_each_mistake_is_one_line_with_place_and_mend(old: str, new: str, message: str) -> None:
    """File, path inside it, what is wrong, what was found, how to mend it."""
    assert old in GOOD
    with pytest.raises(DocumentError) as refusal:
        settings(GOOD.replace(old, new, 1))
    assert message in str(refusal.value)
    assert str(refusal.value).startswith("edge.toml: ")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("field", ["name", "id"])
def test_tenants_must_differ(field: str) -> None:
    """Two sections of one tenant would be a question of order."""
    other = "33333333-3333-4333-8333-333333333333"
    section = SECOND.replace(*{"name": (TENANT, other), "id": ('"contoso"', '"other"')}[field])
    with pytest.raises(DocumentError, match=f"two tenants have the same {field}"):
        settings(GOOD.replace("[connector]", f"[[tenant]]{section}[connector]"))


def test_a_file_is_read_with_the_same_care(tmp_path: Path) -> None:
    """Missing, oversized and not UTF-8: one line each."""
    path = tmp_path / "edge.toml"
    with pytest.raises(DocumentError, match=r"edge.toml: cannot be read \(No such file"):
        load_settings(path)
    path.write_bytes(b"\xff")
    with pytest.raises(DocumentError, match="byte 0: is not UTF-8"):
        load_settings(path)
    path.write_bytes(b"#" * (MAX_FILE + 1))
    with pytest.raises(DocumentError, match="larger than 1 MiB"):
        load_settings(path)
    path.write_text(GOOD)
    assert load_settings(path).tenant[0].trust == tmp_path / "idp.pem"


def test_destinations_are_spelled_as_the_map_spells_them() -> None:
    """A look-up in the map needs no parsing."""
    assert map_key("files.example", 80, Protocol.TCP) == "files.example:80"
    assert map_key("2001:db8::1", 53, Protocol.UDP) == "[2001:db8::1]:53/udp"
