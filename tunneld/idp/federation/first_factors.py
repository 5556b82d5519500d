"""Outside providers on the sign-in page: by the address that was typed or hinted at, or by a social button."""

from __future__ import annotations

from starlette.responses import Response

from tunneld.idp.conversation.turns import Conversation
from tunneld.idp.federation.begin import begin, begin_for_address, return_path
from tunneld.policy.federation.compiled import TrustedProvider
from tunneld.policy.refusals import refusal

_ACTIONS = {"social_google": "Google", "social_facebook": "Facebook"}


async def send_to_provider(talk: Conversation, address: str) -> Response | None:
    """Return the way to the provider that signs an address in, None where it is not an outside one."""
    if not address:
        return None
    return await begin_for_address(
        talk.provider, talk.request, talk.errand.wanted.tenant, address,
        return_to=return_path(talk.request, dict(talk.errand.carried)),
    )


def social_buttons(talk: Conversation) -> list[tuple[str, str]]:
    """Return (action, label) of each social provider that the visited tenant trusts."""
    found = []
    for action, kind in _ACTIONS.items():
        trusted = _social(talk, kind)
        if trusted is not None:
            found.append((action, trusted.display_name))
    return found


async def take_social(talk: Conversation) -> Response:
    """Send somebody to the social provider whose button they chose."""
    trusted = _social(talk, _ACTIONS.get(talk.fields.get("action", ""), ""))
    if trusted is None:
        return await talk.sign_in_page(refusal(50107).sentence)
    return await begin(
        talk.provider, talk.request, talk.errand.wanted.tenant, trusted,
        return_to=return_path(talk.request, dict(talk.errand.carried)),
    )


SOCIAL_FACTORS = dict.fromkeys(_ACTIONS, take_social)


def _social(talk: Conversation, kind: str) -> TrustedProvider | None:
    providers = talk.errand.wanted.tenant.policy.federation.social()
    return next((each for each in providers if each.social == kind), None)
