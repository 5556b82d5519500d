"""The policy of whoever owns the machine goes with every request, or with none."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tunneld.client.oidc import RESTRICTION_HEADER, Provider
from tunneld.client.settings import parse_settings
from tunneld.model.errors import DocumentError

POLICY = "11111111-1111-4111-8111-111111111111:22222222-2222-4222-8222-222222222222"
MINIMAL = '[daemon]\nhome_tenant = "contoso"\n[idp]\nurl = "https://idp.test"\n'


@pytest.mark.parametrize("restriction", [POLICY, None])
async def test_every_request_names_the_policy(restriction: str | None) -> None:
    """Discovery and tokens alike; without a policy there is no such header at all."""
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get(RESTRICTION_HEADER))
        return httpx.Response(200, json={"value": []})

    provider = Provider("https://idp.test", restriction=restriction, transport=httpx.MockTransport(answer))
    await provider.tenants("t")
    await provider.close()
    assert seen == [restriction]


def test_the_setting(tmp_path: Path) -> None:
    """Two ids and a colon."""
    text = MINIMAL + f'[tenant_restrictions]\npolicy = "{POLICY}"\n'
    section = parse_settings(text, where="t", base=tmp_path).tenant_restrictions
    assert section is not None
    assert section.policy == POLICY
    assert parse_settings(MINIMAL, where="t", base=tmp_path).tenant_restrictions is None


@pytest.mark.parametrize("policy", ["", "contoso", POLICY.replace(":", ","), POLICY + "\\n", POLICY + ":x"])
def test_a_policy_that_is_none_is_refused(tmp_path: Path, policy: str) -> None:
    """A mistake here would leave the machine unrestricted, so it does not start."""
    with pytest.raises(DocumentError, match="tenant_restrictions"):
        parse_settings(MINIMAL + f'[tenant_restrictions]\npolicy = "{policy}"\n', where="t", base=tmp_path)
