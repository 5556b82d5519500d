"""What a person came for, and where the conversation may end: a client's sign-in, a device's, or a page of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.responses import Response

from tunneld.idp.decisions import Wanted
from tunneld.idp.store import Session
from tunneld.policy.conditional_access.outcome import Interaction
from tunneld.policy.directory import ObjectKey
from tunneld.policy.sign_in import Deny, Grant

if TYPE_CHECKING:
    from tunneld.idp.conversation.turns import Conversation

Carried = tuple[tuple[str, str], ...]  # hidden fields: the errand's parameters, on every page
Action = Callable[["Conversation", Grant, Session], Awaitable[Response]]


async def nothing_more(grant: Grant, session: Session) -> Interaction | None:
    """Ask for nothing besides what the policies ask for."""
    del grant, session
    return None


@dataclass(frozen=True, slots=True)
class Errand:
    """One errand. `conclude` gets a grant and the session it rests on, `refuse` what no page can mend.

    `demand` may ask for a task although every policy is met; `actions` are the buttons of the errand's own pages, which
    work only while there is a grant. `at_home` is there where the organization was found by the account: it returns the
    errand at the organization of whoever has just proved who they are, None for somebody who has none.
    """

    wanted: Wanted
    carried: Carried
    conclude: Callable[[Grant, Session], Awaitable[Response]]
    refuse: Callable[[Deny], Response]
    login_hint: str = ""
    redirect_uri: str | None = None  # where a form may lead, for the pages' content policy
    demand: Callable[[Grant, Session], Awaitable[Interaction | None]] = nothing_more
    actions: Mapping[str, Action] = field(default_factory=dict)
    at_home: Callable[[ObjectKey], Errand | None] | None = None
    via: str = ""  # put before the way in a sign-in record: "device_"
