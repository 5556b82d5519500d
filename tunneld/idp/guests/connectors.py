"""Asking an API connector: one POST to a host that the machine's owner listed, bounded in time and size."""

from __future__ import annotations

import asyncio

import httpx

from tunneld.idp.federation.outbound import Outbound
from tunneld.idp.provider import Provider
from tunneld.policy.federation.vouched import FederationError
from tunneld.policy.guests.sign_up import (
    ApiConnector,
    Blocked,
    ConnectorAnswer,
    UserFlow,
    connector_request,
    read_connector_answer,
)

MAX_ANSWER = 64 * 1024  # an answer has a dozen short members
_UNREACHABLE = "The sign-up cannot be completed now. Try again later."


class _Call(Outbound):
    """The same way out as to identity providers: listed hosts, https, one trust, no redirect."""

    async def ask(self, url: str, body: bytes) -> tuple[int, bytes]:
        """Return status and body of the answer. Raises FederationError when there is none that can be used."""
        self._permit(url)
        headers = {"content-type": "application/json", "accept": "application/json"}
        try:
            async with (
                asyncio.timeout(self._settings.timeout_s),
                self._client() as client,
                client.stream("POST", url, content=body, headers=headers) as response,
            ):
                answer = bytearray()
                async for piece in response.aiter_bytes():
                    answer += piece
                    if len(answer) > MAX_ANSWER:
                        raise FederationError("unreachable", f"the answer is larger than {MAX_ANSWER} bytes")
                return response.status_code, bytes(answer)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise FederationError("unreachable", type(error).__name__) from None


async def ask_connector(
    provider: Provider, connector: ApiConnector, flow: UserFlow, address: str, values: dict[str, str], *, step: str
) -> ConnectorAnswer:
    """Ask a connector about somebody who signs up. What cannot be asked has not agreed."""
    body = connector_request(address, values, step=step, client_id=flow.id)
    call = _Call(provider.settings.federation, provider.federation.transport)
    try:
        status, answer = await call.ask(connector.target_url, body)
    except FederationError as error:
        return Blocked(_UNREACHABLE, error.detail)
    wanted = {assignment.id for assignment in flow.user_attribute_assignments}
    return read_connector_answer(status, answer, wanted)
