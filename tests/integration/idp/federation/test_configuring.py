"""Saving providers: domains, DNS, secrets, and documents that are refused."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import dns.message
import dns.rrset
import pytest

from tests.integration.idp.federation.outsiders import federation, openid, put
from tests.integration.idp.graph.admin import administrator
from tests.integration.idp.world import CONTOSO, FABRIKAM, World
from tests.support.saml_partner import SIGN_IN
from tunneld.idp.changes import ConflictError
from tunneld.idp.federation.domain_records import conflict_of_records
from tunneld.idp.federation_settings import FederationSettings
from tunneld.policy.federation.configuration import FederationConfiguration
from tunneld.policy.objects import Change, ObjectRef

PATH = "/v1.0/directory/federationConfigurations/graph.samlOrWsFedExternalDomainFederation"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"domains": [{"id": "fabrikam.example"}], "passiveSignInUri": "https://fabrikam.example/"},
         "domainVerifiedInTenant"),
        ({"domains": [{"id": "partner.example"}, {"id": "partner.example"}]}, "duplicateDomain"),
        ({"domains": [{"id": "elsewhere.example"}]}, "passiveEndpointNotProven"),
        ({"passiveSignInUri": "https://notpartner.example/"}, "passiveEndpointNotProven"),
    ],
)
async def test_contradictions_are_refused_by_name(world: World, changes: dict[str, Any], rule: str) -> None:
    """Own domains, doubled ones, and endpoints that no DNS record names; the silent resolver counts as a no."""
    with pytest.raises(ConflictError) as refused:
        await put(world, "federationConfiguration", federation(**changes))
    assert refused.value.conflict.rule == rule
    assert refused.value.conflict.mend


async def test_a_domain_is_federated_once_and_another_tenants_may_be(world: World) -> None:
    """A second provider for a domain is a conflict; a domain verified in another tenant is none."""
    await put(world, "federationConfiguration", federation())
    with pytest.raises(ConflictError) as refused:
        await put(world, "identityProvider", openid(domains=[{"id": "partner.example"}]))
    assert refused.value.conflict.rule == "domainAlreadyFederated"
    await put(world, "identityProvider", openid(domains=[{"id": "contoso.example"}]))
    assert world.provider is not None
    assert world.provider.directory.tenants[FABRIKAM].policy.federation.for_domain("Contoso.example") is not None


async def test_secrets_are_written_and_never_read(world: World) -> None:
    """The API covers the client secret, and writing the cover leaves the secret as it is."""
    admin = await administrator(world)
    body = {name: value for name, value in openid().items() if name != "id"}
    made = await admin.send("POST", "/v1.0/identity/identityProviders", body)
    assert made.status_code == 201, made.text
    assert made.json()["clientSecret"] == "******"
    path = f"/v1.0/identity/identityProviders/{made.json()['id']}"
    change = {"clientSecret": "******", "displayName": "Renamed"}
    assert (await admin.send("PATCH", path, change)).status_code == 204
    assert world.provider is not None
    trusted = world.provider.directory.tenants[CONTOSO].policy.federation.by_id[made.json()["id"]]
    assert (trusted.client_secret, trusted.display_name) == ("not-to-be-told", "Renamed")
    assert (await admin.send("DELETE", path)).status_code == 204


@pytest.mark.parametrize(
    "change",
    [{"signingCertificate": "x"}, {"passiveSignInUri": "http://sts.partner.example/"}, {"domains": []},
     {"preferredAuthenticationProtocol": "oidc"}, {"issuerUri": ""}, {"unknown": 1}],
)
async def test_malformed_documents_are_400(world: World, change: dict[str, Any]) -> None:
    """With a sentence that names the member."""
    admin = await administrator(world)
    body = {name: value for name, value in federation(**change).items() if name != "id"}
    refused = await admin.send("POST", PATH, body)
    assert refused.status_code == 400
    assert next(iter(change)) in refused.text


@pytest.mark.parametrize(
    ("record", "refused"),
    [(f"DirectFedAuthUrl={SIGN_IN}", False), (f"DirectFedAuthUrl={SIGN_IN}/", True), (SIGN_IN, True), ("", True)],
)
async def test_a_txt_record_proves_an_endpoint_elsewhere(record: str, refused: bool) -> None:
    """Asked of a name server on loopback: the exact URL, and nothing like it."""
    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            query = dns.message.from_wire(data)
            answer = dns.message.make_response(query)
            if record:
                name = query.question[0].name
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", f'"{record}"'))
            self.transport.sendto(answer.to_wire(), addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Server, local_addr=("127.0.0.1", 0), family=socket.AF_INET
    )
    try:
        port = transport.get_extra_info("sockname")[1]
        settings = FederationSettings(resolver=f"127.0.0.1:{port}", timeout_s=2)
        value = FederationConfiguration.model_validate(federation(domains=[{"id": "elsewhere.example"}]))
        change = Change(ObjectRef(FABRIKAM, "federationConfiguration", value.id), value)
        assert (await conflict_of_records([change], settings) is not None) is refused
    finally:
        transport.close()
