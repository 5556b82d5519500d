"""What a person came for, and where the conversation may end: a client's sign-in, a device's, or a page of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import Response

from tunneld.idp.decisions import Wanted
from tunneld.idp.store import Session
from tunneld.policy.sign_in import Deny, Grant

Carried = tuple[tuple[str, str], ...]  # hidden fields: the errand's parameters, on every page


@dataclass(frozen=True, slots=True)
class Errand:
    """One errand. `conclude` gets a grant and the session it rests on, `refuse` what no page can mend."""

    wanted: Wanted
    carried: Carried
    conclude: Callable[[Grant, Session], Awaitable[Response]]
    refuse: Callable[[Deny], Response]
    login_hint: str = ""
    redirect_uri: str | None = None  # where a form may lead, for the pages' content policy
    via: str = ""  # put before the way in a sign-in record: "device_"
