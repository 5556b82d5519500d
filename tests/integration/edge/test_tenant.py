"""What an edge holds for one tenant, on real files and a real https issuer."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.certificates import Authority
from tests.support.edge_settings import GOOD, settings
from tests.support.tokens import (
    AUDIENCE,
    CHANNEL,
    ISSUER,
    JKT,
    OTHER_TENANT,
    TENANT,
    USER,
    claims,
    header,
    key_set,
    public_jwk,
    rsa_key,
    sign,
)
from tunneld.edge.keys import https_fetch
from tunneld.edge.tenant import Profiles, TenantEdge, find_tenant
from tunneld.model.errors import DocumentError, StreamError, TokenError
from tunneld.model.identity import VerifiedClaims
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Channel, Protocol, Verdict
from tunneld.policy import tokens
from tunneld.policy.key_set import MAX_DOCUMENT

GROUP = "99999999-0000-4000-8000-000000000001"


def profile(**changes: Any) -> dict[str, Any]:
    """A profile with one application, assigned to guests."""
    document = {
        "schema": 1,
        "id": "everybody",
        "tenant": "contoso",
        "version": 1,
        "assignments": {"users": [], "groups": [], "user_types": ["guest"]},
        "channels": {"private": {"edge": f"{TENANT}.private.edge.test:443"}},
        "applications": [{"id": AUDIENCE, "name": "Files"}],
        "rules": [
            {"id": "files", "channel": "private", "application": AUDIENCE, "destinations": ["files.example"]}
        ],
    }
    return {**document, **changes}


class Place:
    """A directory with everything that the settings name."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory, "ours")
        self.authority.server(f"{TENANT}.private.edge.test")
        (directory / "idp.pem").write_bytes(self.authority.pem)
        self.write(profile())
        self.keys = key_set()
        self.asked = 0

    def write(self, document: dict[str, Any] | str, name: str = "profile.json") -> None:
        text = document if isinstance(document, str) else json.dumps(document)
        fresh = self.directory / f"{name}.new"
        fresh.write_text(text)
        os.replace(fresh, self.directory / name)

    async def fetch(self) -> bytes:
        self.asked += 1
        return self.keys

    def tenant(self, text: str = GOOD) -> TenantEdge:
        parsed = settings(text, base=self.directory)
        return TenantEdge(parsed.tenant[0], parsed, fetch=self.fetch)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def fresh(**changes: Any) -> dict[str, Any]:
    """Claims of a token that is good now."""
    now = int(time.time())
    return claims(iat=now - 60, nbf=now - 60, exp=now + 3600, **changes)


async def refused(tenant: TenantEdge, token: str) -> Reason:
    with pytest.raises(TokenError) as refusal:
        await tenant.verified(token, JKT)
    return refusal.value.reason


async def test_a_token_is_verified_once_a_key(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look at the same token under the same certificate costs a hash; another certificate's does not."""
    tenant = place.tenant()
    checked = 0
    verify = tokens.verify

    def counting(*arguments: Any, **named: Any) -> VerifiedClaims:
        nonlocal checked
        checked += 1
        return verify(*arguments, **named)

    monkeypatch.setattr("tunneld.edge.tenant.verify", counting)
    token = sign(fresh())
    assert tenant.recalled(token, JKT) is None
    first = await tenant.verified(token, JKT)
    assert await tenant.verified(token, JKT) is first
    assert tenant.recalled(token, JKT) is first
    assert tenant.recalled(token, None) is None
    assert (checked, place.asked) == (1, 1)
    assert await tenant.verified(token, "K" * 43) == first
    assert checked == 2


async def test_verified_tokens_are_forgotten_when_the_keys_change(place: Place) -> None:
    """After a withdrawal of its key, a token is refused at once although it was verified before."""
    tenant = place.tenant()
    token = sign(fresh())
    await tenant.verified(token, JKT)
    place.keys = key_set(public_jwk("second"))
    assert await tenant.keys.refresh()
    assert tenant.recalled(token, JKT) is None
    assert await refused(tenant, token) is Reason.TOKEN_KEY_UNKNOWN


async def test_memory_of_tokens_is_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """More tokens than remembered are verified again, not kept for ever."""
    monkeypatch.setattr("tunneld.edge.tenant.MAX_VERIFIED", 2)
    tenant = place.tenant()
    for number in range(5):
        await tenant.verified(sign(fresh(uti=str(number))), JKT)
    assert len(tenant._verified) <= 2


async def test_foreign_tokens_never_cause_a_question_to_the_issuer(place: Place) -> None:
    """Whose token it is, is judged first: strangers cannot make the edge ask for keys."""
    tenant = place.tenant()
    other = ISSUER.replace(TENANT, OTHER_TENANT)
    foreign = sign(fresh(tid=OTHER_TENANT, iss=other), header(kid="invented"))
    assert await refused(tenant, foreign) is Reason.TOKEN_TENANT
    assert await refused(tenant, sign(fresh(iss="https://evil.test"))) is Reason.TOKEN_ISSUER
    assert await refused(tenant, "x" * 100_000) is Reason.TOKEN_TOO_LARGE
    assert await refused(tenant, "é.é.é") is Reason.TOKEN_MALFORMED
    assert place.asked == 0
    assert await refused(tenant, sign(fresh(), header(kid="invented"))) is Reason.TOKEN_KEY_UNKNOWN
    assert await refused(tenant, sign(fresh(), key=rsa_key("stranger"))) is Reason.TOKEN_SIGNATURE
    assert place.asked == 1


async def test_audiences_are_the_channels_and_the_applications(place: Place) -> None:
    """A token for anything else is refused whatever it says about the user."""
    tenant = place.tenant()
    for audience in (CHANNEL, AUDIENCE):
        assert (await tenant.verified(sign(fresh(aud=audience)), JKT)).audience == audience
    assert await refused(tenant, sign(fresh(aud="aaaaaaaa-0000-4000-8000-00000000ffff"))) is Reason.TOKEN_AUDIENCE


def test_server_names_lead_to_tenant_and_channel(place: Place) -> None:
    """In any case of letters; a channel that is not offered and another domain lead nowhere."""
    tenant = place.tenant()
    assert find_tenant([tenant], f"{TENANT}.PRIVATE.edge.test") == (tenant, Channel.PRIVATE)
    assert find_tenant([tenant], f"{TENANT}.internet.edge.test") is None
    assert find_tenant([tenant], f"{OTHER_TENANT}.private.edge.test") is None
    assert find_tenant([], f"{TENANT}.private.edge.test") is None
    asked = tenant.tunnel(Channel.PRIVATE, None)
    assert (asked.tenant_id, asked.audience, asked.client) == (TENANT, CHANNEL, None)
    assert tenant.tunnel(Channel.INTERNET, None).audience is None


def person(**changes: Any) -> VerifiedClaims:
    """Somebody who asks for a gate."""
    usual = VerifiedClaims(
        issuer=ISSUER, tenant_id=TENANT, oid=USER, subject="s", audience=CHANNEL, client_id="c", scopes=frozenset(),
        groups=frozenset({GROUP}), user_type="guest", token_id="t", session_id=None, jkt=JKT, issued_at=0,
        not_before=0, expires_at=0,
    )  # fmt: skip
    return usual._replace(**changes)


def winner(tenant: TenantEdge, who: VerifiedClaims) -> str | None:
    """Return the rule that decides about files.example for somebody."""
    gate = tenant.gate(who, Channel.PRIVATE)
    if gate is None:
        return None
    decision = gate.decide(AUDIENCE, "files.example", 443, Protocol.TCP)
    assert isinstance(decision, Verdict)
    return decision.rule_id


def test_the_profile_in_effect_is_the_closest_one(place: Place) -> None:
    """A profile for the user beats one for the group beats one for everybody, whatever the order of the files."""
    rule = profile()["rules"][0]
    nobody = {"users": [], "groups": [], "user_types": []}
    place.write(
        profile(id="group", assignments={**nobody, "groups": [GROUP]}, rules=[{**rule, "id": "of-group"}]), "group.json"
    )
    place.write(
        profile(id="user", assignments={**nobody, "users": [USER]}, rules=[{**rule, "id": "of-user"}]), "user.json"
    )
    place.write(profile(id="nobody", assignments=nobody), "nobody.json")
    files = '["nobody.json", "profile.json", "group.json", "user.json"]'
    tenant = place.tenant(GOOD.replace('["profile.json"]', files))
    stranger = "bbbbbbbb-0000-4000-8000-000000000002"
    assert winner(tenant, person()) == "of-user"
    assert winner(tenant, person(oid=stranger)) == "of-group"
    assert winner(tenant, person(oid=stranger, groups=frozenset())) == "files"
    assert winner(tenant, person(oid=stranger, groups=frozenset(), user_type="member")) is None
    assert winner(tenant, person(oid=stranger, groups=frozenset(), user_type=None)) is None
    assert tenant.gate(person(), Channel.INTERNET) is None


def test_assignments_by_name_are_remarked(place: Place) -> None:
    """A principal name in a profile can never fit at an edge; the log says so instead of leaving a riddle."""
    place.write(profile(assignments={"users": [USER, "you@contoso.example"], "groups": ["staff"], "user_types": []}))
    with capture_logs() as lines:
        tenant = place.tenant()
    (line,) = lines
    assert (line["event"], line["names"]) == ("assignments_by_name", ["you@contoso.example", "staff"])
    assert line["file"].endswith("profile.json")
    assert winner(tenant, person()) == "files"
    place.write(profile())
    with capture_logs() as lines:
        place.tenant()
    assert lines == []


def test_users_of_one_profile_share_its_gate(place: Place) -> None:
    """Decisions are remembered once a profile, not once a session."""
    tenant = place.tenant()
    first = tenant.gate(person(), Channel.PRIVATE)
    assert first is not None
    assert tenant.gate(person(oid="other"), Channel.PRIVATE) is first
    assert first.applications == {AUDIENCE}


async def test_changed_profiles_are_swapped_whole_and_announced(place: Place) -> None:
    """Sessions are told old and new; the new gate decides by the new rules."""
    tenant = place.tenant()
    complaints: list[str] = []
    changes: list[str] = []
    heard: list[tuple[Profiles, Profiles]] = []
    tenant.on_profiles(lambda old, new: heard.append((old, new)))
    watches = tenant.watches(refused=complaints.append, changed=changes.append)
    before = tenant.profiles
    assert winner(tenant, person()) == "files"
    rule = profile()["rules"][0]
    place.write(profile(version=2, rules=[{**rule, "id": "files-again"}]))
    for watched in watches:
        await watched.look()
    assert (complaints, changes) == ([], ["profiles"])
    assert heard == [(before, tenant.profiles)]
    assert tenant.profiles.number == before.number + 1
    assert winner(tenant, person()) == "files-again"


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("{", "profile.json"),
        (profile(tenant="fabrikam"), "the profile belongs to fabrikam"),
        (profile(rules=[{"id": "x"}]), "rules[0]"),
    ],
    ids=["syntax", "tenant", "schema"],
)
async def test_a_broken_profile_changes_nothing(place: Place, document: dict[str, Any] | str, complaint: str) -> None:
    """The old profiles stay in force, and the complaint names the file."""
    tenant = place.tenant()
    complaints: list[str] = []
    watches = tenant.watches(refused=complaints.append, changed=lambda kind: None)
    before = tenant.profiles
    place.write(document)
    for watched in watches:
        await watched.look()
    assert tenant.profiles is before
    (line,) = complaints
    assert complaint in line
    assert "profile.json" in line


def test_broken_files_stop_the_start_with_one_line(place: Place) -> None:
    """A missing profile, two of one id, a wrong key: each names its file."""
    twice = GOOD.replace('["profile.json"]', '["profile.json", "copy.json"]')
    with pytest.raises(DocumentError, match=r"copy.json: cannot be read \(No such file"):
        place.tenant(twice)
    place.write(profile(), "copy.json")
    with pytest.raises(DocumentError, match=r"copy.json: id: everybody is taken"):
        place.tenant(twice)
    (place.directory / "ours-edge.key").write_bytes(place.authority.key_pem)
    with pytest.raises(DocumentError, match=r"ours-edge\.key: is not the key of"):
        place.tenant()


async def test_certificates_are_swapped_and_a_mismatch_is_not(place: Place) -> None:
    """A renewed pair becomes a new context; half a renewal keeps the old one until the other half arrives."""
    tenant = place.tenant()
    complaints: list[str] = []
    changes: list[str] = []
    watches = tenant.watches(refused=complaints.append, changed=changes.append)
    before = tenant.context
    pair = place.authority.server(f"{TENANT}.private.edge.test", label="next")
    os.replace(pair.key, place.directory / "ours-edge.key")
    for watched in watches:
        await watched.look()
    assert tenant.context is before
    assert len(complaints) == 1
    os.replace(pair.certificate, place.directory / "ours-edge.pem")
    for watched in watches:
        await watched.look()
    assert tenant.context is not before
    assert changes == ["certificate"]


# The issuer over real https


class Site:
    """An https server that answers everything with what a test chose."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b"{}"
        self.delay = 0.0
        self.requests: list[bytes] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        await asyncio.sleep(self.delay)
        head = f"HTTP/1.1 {self.status} X\r\nlocation: https://127.0.0.1:1/\r\ncontent-length: {len(self.body)}\r\n\r\n"
        writer.write(head.encode() + self.body)
        try:
            await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()


@asynccontextmanager
async def https_site(authority: Authority) -> AsyncIterator[Site]:
    site = Site()
    pair = authority.server("127.0.0.1", label="site")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=context)
    site.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
    async with server:
        yield site
        server.close()


async def test_keys_come_over_https_from_the_pinned_authority(place: Place) -> None:
    """The document arrives as it was sent, and the question carries no more than it must."""
    async with https_site(place.authority) as site:
        site.body = key_set()
        fetch = https_fetch(site.url, trust=place.authority.path, timeout_s=5)
        assert await fetch() == site.body
        assert site.requests[0].startswith(b"GET /keys HTTP/1.1\r\n")


async def test_another_authority_is_not_believed(place: Place) -> None:
    """An issuer whose certificate a stranger signed is unreachable, not trusted."""
    async with https_site(place.authority) as site:
        stranger = Authority(place.directory, "stranger")
        fetch = https_fetch(site.url, trust=stranger.path, timeout_s=5)
        with pytest.raises(StreamError, match="CERTIFICATE_VERIFY_FAILED") as failure:
            await fetch()
        assert failure.value.reason is Reason.IDP_UNREACHABLE
        assert site.requests == []


@pytest.mark.parametrize(("status", "message"), [(500, "answers 500"), (302, "answers 302"), (404, "answers 404")])
async def test_errors_and_redirects_are_no_keys(place: Place, status: int, message: str) -> None:
    """A redirect is not followed: keys come from the one address in the settings."""
    async with https_site(place.authority) as site:
        site.status, site.body = status, key_set()
        fetch = https_fetch(site.url, trust=place.authority.path, timeout_s=5)
        with pytest.raises(StreamError, match=message):
            await fetch()
        assert len(site.requests) == 1


async def test_a_slow_or_endless_answer_is_given_up(place: Place) -> None:
    """Neither time nor memory is the issuer's to take."""
    async with https_site(place.authority) as site:
        fetch = https_fetch(site.url, trust=place.authority.path, timeout_s=0.3)
        site.delay = 1.0
        with pytest.raises(StreamError, match="TimeoutError"):
            await fetch()
        site.delay, site.body = 0.0, b" " * (MAX_DOCUMENT + 1)
        patient = https_fetch(site.url, trust=place.authority.path, timeout_s=5)
        with pytest.raises(StreamError, match="is larger than"):
            await patient()


async def test_nobody_there_is_a_reason_not_a_crash(place: Place) -> None:
    """A refused connection is an unreachable issuer."""
    fetch = https_fetch("https://127.0.0.1:1/keys", trust=place.authority.path, timeout_s=5)
    with pytest.raises(StreamError, match="ConnectError"):
        await fetch()


async def test_a_new_trust_file_is_taken_over(place: Place) -> None:
    """The issuer's authority can be renewed while the edge runs."""
    async with https_site(place.authority) as site:
        stranger = Authority(place.directory, "stranger")
        (place.directory / "idp.pem").write_bytes(stranger.pem)
        text = GOOD.replace(f"https://login.test/{TENANT}/discovery/v2.0/keys", site.url)
        parsed = settings(text, base=place.directory)
        tenant = TenantEdge(parsed.tenant[0], parsed)
        assert not await tenant.keys.refresh()
        changes: list[str] = []
        watches = tenant.watches(refused=changes.append, changed=changes.append)
        site.body = key_set()
        place.write(place.authority.pem.decode(), "idp.pem")
        for watched in watches:
            await watched.look()
        assert changes == ["trust"]
        assert await tenant.keys.refresh()
        assert (await tenant.verified(sign(fresh()), JKT)).oid == USER
