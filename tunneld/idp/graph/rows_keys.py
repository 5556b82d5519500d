"""A tenant's signing keys, and withdrawing one in an emergency.

Graph has nothing like it for a tenant's own keys, which Microsoft keeps; the paths and words are ours.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import ConfigDict
from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import ApiError
from tunneld.idp.changes import AuditEntry, AuditTarget, ModifiedProperty
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.reading import listing, query_of
from tunneld.idp.graph.resource import Json, Operation
from tunneld.idp.graph.saving import actor
from tunneld.journal.timestamps import rfc3339
from tunneld.policy.key_schedule import KeyDates
from tunneld.policy.objects import GraphObject

PATH = "/organization/{id}/signingKeys"
_READ = "microsoft.directory/organization/signingKeys/read"
_WITHDRAW = "microsoft.directory/organization/signingKeys/withdraw"


class SigningKey(GraphObject):
    """One key of the tenant's set: `next` is published ahead of its use, `retired` verifies what it signed."""

    model_config = ConfigDict(title="signingKey")

    id: str
    state: Literal["signing", "next", "retired"]
    published_date_time: str
    signs_from_date_time: str | None
    retired_date_time: str | None


def key_operations() -> list[Operation]:
    """Return the operations on signing keys."""
    return [
        Operation("GET", PATH, _list_keys, "List the tenant's signing keys.", _READ, result=SigningKey, listing=True,
                  tag="organization"),
        Operation("POST", f"{PATH}/{{kid}}/withdraw", _withdraw,
                  "Withdraw a signing key at once, with all tokens that it signed.", _WITHDRAW, result=SigningKey,
                  tag="organization"),
    ]


async def _list_keys(call: Call) -> Response:
    keys = {key.kid: key for key in _keys(call)}
    return await listing(call, query_of(call, None), list(keys), lambda kid: _shown(keys[kid]))


async def _withdraw(call: Call) -> Response:
    """Withdraw first and write it down then: a key that leaked must go even while the log cannot be written."""
    kid = call.parameter("kid")
    gone = next((key for key in _keys(call) if key.kid == kid), None)
    if gone is None or not await call.provider.withdraw_key(call.tenant, kid):
        raise ApiError(404, "Request_ResourceNotFound", "There is no such signing key.")
    signing = call.provider.keys.kid(call.tenant.id)
    change = ModifiedProperty("State", json.dumps(_state(gone)), json.dumps("withdrawn"))
    record = AuditEntry(
        "Withdraw signing key", "KeyManagement", call.tenant.id, actor(call),
        (AuditTarget(kid, kid, "SigningKey", (change,)),), details={"signing": signing},
    )
    await call.provider.records.store_audits([record], call.correlation_id)
    return JSONResponse(next(_shown(key) for key in _keys(call) if key.kid == signing))


def _keys(call: Call) -> tuple[KeyDates, ...]:
    if call.parameter().lower() != call.tenant.id:
        raise ApiError(404, "Request_ResourceNotFound", "The token is for another organization.")
    return call.provider.keys.dates(call.tenant.id)


def _state(key: KeyDates) -> Literal["signing", "next", "retired"]:
    if key.retired_at is not None:
        return "retired"
    return "signing" if key.signs_from is not None else "next"


def _shown(key: KeyDates) -> Json:
    return SigningKey(
        id=key.kid, state=_state(key), published_date_time=rfc3339(key.published_at),
        signs_from_date_time=None if key.signs_from is None else rfc3339(key.signs_from),
        retired_date_time=None if key.retired_at is None else rfc3339(key.retired_at),
    ).to_json()
