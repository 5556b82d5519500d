"""A provider's next certificate, taken from the metadata that it publishes; and what changes nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from lxml import etree

from tests.integration.idp.federation.outsiders import FEDERATION, GUEST, federation, invite, put
from tests.integration.idp.federation.test_passive import come_back, leave, post
from tests.integration.idp.world import FABRIKAM, Browser, World
from tests.support.saml_partner import (
    ISSUER,
    NOW,
    assertion,
    assertion_1,
    partner_certificate,
    response,
    signed,
    token_response,
)
from tunneld.policy.federation.configuration import KIND, FederationConfiguration

METADATA = "https://sts.partner.example/FederationMetadata/2007-06/FederationMetadata.xml"
MD = "urn:oasis:names:tc:SAML:2.0:metadata"
DS = "http://www.w3.org/2000/09/xmldsig#"
DAY = 86400


def key_descriptor(certificate: str, use: str = ' use="signing"') -> str:
    return (
        f'<KeyDescriptor{use}><KeyInfo xmlns="{DS}"><X509Data><X509Certificate>{certificate}</X509Certificate>'
        "</X509Data></KeyInfo></KeyDescriptor>"
    )


def metadata(*keys: str, issuer: str = ISSUER, more: str = "", role: str = "IDPSSODescriptor") -> bytes:
    kind = '<RoleDescriptor xsi:type="fed:SecurityTokenServiceType">' if role == "RoleDescriptor" else f"<{role}>"
    return (
        f'<?xml version="1.0" encoding="utf-8"?><EntityDescriptor xmlns="{MD}" entityID="{issuer}"{more}'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:fed="http://docs.oasis-open.org/wsfed/federation/200706">'
        f"{kind}{''.join(keys)}</{role}></EntityDescriptor>"
    ).encode()


@dataclass
class Publisher:
    """Where the metadata are."""

    body: bytes = b""
    status: int = 200
    asked: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        assert str(request.url) == METADATA
        return httpx.Response(self.status, content=self.body, headers=self.headers)


@pytest.fixture
async def publisher(world: World) -> Publisher:
    made = Publisher(metadata(key_descriptor(partner_certificate()), key_descriptor(partner_certificate("next"))))
    assert world.provider is not None
    settings = world.settings.federation.model_copy(update={"hosts": ("sts.partner.example",)})
    world.settings = world.settings.model_copy(update={"federation": settings})
    world.provider.settings = world.settings
    world.provider.federation.transport = httpx.MockTransport(made.answer)
    await put(world, "federationConfiguration", federation(metadataExchangeUri=METADATA))
    await invite(world)
    return made


def stored(world: World) -> str:
    assert world.provider is not None
    value = world.provider.directory.tenants[FABRIKAM].object(KIND, FEDERATION)
    assert isinstance(value, FederationConfiguration)
    return value.signing_certificate


def proof(request: str, name: str = "next", **changes: Any) -> bytes:
    made = assertion(**{"request": request, **changes})
    return etree.tostring(response([signed(made, name=name)], request=request))


async def arrive(world: World, name: str = "next", **changes: Any) -> tuple[Browser, httpx.Response]:
    browser = world.browser()
    _, request = await leave(browser)
    now = int(world.clock.now)
    return browser, await post(browser, proof(request, name, **{"now": now, "id": f"_{request}", **changes}), request)


def renewals(world: World) -> list[dict[str, Any]]:
    return [line for line in world.lines("audit.jsonl")
            if line.get("activityDisplayName") == "Renew federation certificate"]


async def test_an_unknown_certificate_that_is_published_takes_over(world: World, publisher: Publisher) -> None:
    """The very sign-in that shows it goes on, the configuration is changed, and that is on record."""
    browser, arrived = await arrive(world)
    assert (await come_back(browser, arrived))["oid"] == GUEST
    assert stored(world) == partner_certificate("next")
    [line] = renewals(world)
    assert line["result"] == "success"
    assert line["targetResources"][0]["modifiedProperties"][0]["displayName"] == "SigningCertificate"
    assert {"key": "metadata", "value": METADATA} in line["additionalDetails"]
    assert (await arrive(world))[1].status_code == 303
    assert publisher.asked == 1
    await world.close()
    await world.open()
    assert stored(world) == partner_certificate("next")


async def test_ws_federation_renews_as_well(world: World, publisher: Publisher) -> None:
    """From the descriptor of a security token service, too."""
    await put(world, "federationConfiguration", federation(
        metadataExchangeUri=METADATA, preferredAuthenticationProtocol="wsFed",
    ))
    publisher.body = metadata(key_descriptor(partner_certificate("next"), ""), role="RoleDescriptor")
    browser = world.browser()
    _, context = await leave(browser)
    token = token_response([signed(assertion_1(), name="next", id_attribute="AssertionID")])
    arrived = await browser.http.post("/login.srf", data={"wresult": token.decode(), "wctx": context})
    assert arrived.status_code == 303, arrived.text
    assert stored(world) == partner_certificate("next")


async def test_an_expired_certificate_is_replaced(world: World, publisher: Publisher) -> None:
    """What expired verifies nothing; the published successor does."""
    await put(world, "federationConfiguration", federation(
        metadataExchangeUri=METADATA, signingCertificate=partner_certificate("partner", end=NOW - 10),
    ))
    assert (await arrive(world))[1].status_code == 303
    assert stored(world) == partner_certificate("next")


@pytest.mark.parametrize(
    ("days", "listed", "renewed"), [(10, "next", True), (10, "both", False), (40, "next", False)],
    ids=["expires soon, gone from the metadata", "expires soon, still published", "good for long"],
)
async def test_looking_ahead(world: World, publisher: Publisher, days: int, listed: str, renewed: bool) -> None:
    """A month before the end; not while the certificate is still published; once a day."""
    soon = partner_certificate("partner", end=NOW + days * DAY)
    await put(world, "federationConfiguration", federation(metadataExchangeUri=METADATA, signingCertificate=soon))
    keys = [key_descriptor(partner_certificate("next"))] + ([key_descriptor(soon)] if listed == "both" else [])
    publisher.body = metadata(*keys)
    for _ in range(2):
        assert (await arrive(world, "partner" if stored(world) == soon else "next"))[1].status_code == 303
    assert (stored(world) == partner_certificate("next")) is renewed
    assert publisher.asked == (0 if days == 40 else 1)


HOSTILE: dict[str, bytes] = {
    "empty": b"", "no xml": b"<", "another issuer": metadata(
        key_descriptor(partner_certificate("next")), issuer="https://evil.example/"),
    "no keys": metadata(), "for encryption": metadata(key_descriptor(partner_certificate("next"), ' use="encryption"')),
    "of a service provider": metadata(key_descriptor(partner_certificate("next")), role="SPSSODescriptor"),
    "a document type": b'<!DOCTYPE x [<!ENTITY y "z">]>' + metadata(key_descriptor(partner_certificate("next")))[38:],
    "an entity from a file": b'<!DOCTYPE x SYSTEM "file:///etc/passwd">' + metadata()[38:],
    "too large": metadata(key_descriptor(partner_certificate("next"))) + b" " * 256 * 1024,
    "too old": metadata(key_descriptor(partner_certificate("next")), more=' validUntil="2020-01-01T00:00:00Z"'),
    "no date": metadata(key_descriptor(partner_certificate("next")), more=' validUntil="soon"'),
    "many keys": metadata(*(key_descriptor(partner_certificate("next", end=NOW + DAY + n)) for n in range(11))),
    "nonsense as key": metadata(key_descriptor("AAAA"), key_descriptor("\u00e9"), key_descriptor("")),
    "not valid yet": metadata(key_descriptor(partner_certificate("next", begin=NOW + DAY))),
    "over": metadata(key_descriptor(partner_certificate("next", begin=NOW - 9 * DAY, end=NOW - DAY))),
    "somebody else's key": metadata(key_descriptor(partner_certificate("stranger"))),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
async def test_hostile_metadata_change_nothing(world: World, publisher: Publisher, body: bytes) -> None:
    """The answer is refused as it would be without metadata, and the old certificate goes on."""
    publisher.body = body
    _, refused = await arrive(world)
    assert refused.status_code == 400
    assert "AADSTS50008" in refused.text
    assert publisher.asked == 1
    assert stored(world) == partner_certificate()
    assert renewals(world) == []
    assert (await arrive(world, "partner"))[1].status_code == 303


@pytest.mark.parametrize("status", [404, 302, 500])
async def test_metadata_that_are_not_there(world: World, publisher: Publisher, status: int) -> None:
    """No redirect is followed, and an error is no document."""
    publisher.status, publisher.headers = status, {"location": "https://evil.example/"}
    assert (await arrive(world))[1].status_code == 400
    assert (publisher.asked, stored(world)) == (1, partner_certificate())


async def test_a_host_that_nobody_listed_is_not_asked(world: World, publisher: Publisher) -> None:
    """The configuration names a URL; the owner of the machine says which hosts may be asked."""
    assert world.provider is not None
    world.provider.settings = world.settings.model_copy(update={
        "federation": world.settings.federation.model_copy(update={"hosts": ("id.other.example",)}),
    })
    assert (await arrive(world))[1].status_code == 400
    assert (publisher.asked, stored(world)) == (0, partner_certificate())


async def test_bad_signatures_cause_one_look_in_five_minutes(world: World, publisher: Publisher) -> None:
    """Whoever posts forgeries cannot make this machine ask the provider each time."""
    for _ in range(3):
        assert (await arrive(world, "stranger"))[1].status_code == 400
    assert publisher.asked == 1
    world.clock.now += 301
    assert (await arrive(world, "stranger"))[1].status_code == 400
    assert publisher.asked == 2
    assert stored(world) == partner_certificate()


async def test_a_published_certificate_alone_opens_nothing(world: World, publisher: Publisher) -> None:
    """An answer that is wrong otherwise is refused for that, and its certificate is not taken over."""
    _, refused = await arrive(world, audience="https://idp.test/elsewhere/")
    assert refused.status_code == 400
    assert "audience" in refused.text
    assert stored(world) == partner_certificate()


async def test_who_is_away_meanwhile_need_not_start_again(world: World, publisher: Publisher) -> None:
    """Three people are at the provider when it changes its certificate: two come back at once, one later."""
    browsers, third = [world.browser(), world.browser()], world.browser()
    requests = [(await leave(browser))[1] for browser in browsers]
    _, request = await leave(third)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(post(browser, proof(request, id=f"_{request}"), request))
            for browser, request in zip(browsers, requests, strict=True)
        ]
    statuses = sorted(task.result().status_code for task in tasks)
    assert statuses[0] == 303  # the other came in the very moment of the look, or found it done
    assert len(renewals(world)) == 1
    assert (await post(third, proof(request, id="_3"), request)).status_code == 303


async def test_without_an_address_of_metadata_nothing_is_asked(world: World, publisher: Publisher) -> None:
    """As before."""
    await put(world, "federationConfiguration", federation())
    assert (await arrive(world))[1].status_code == 400
    assert publisher.asked == 0
