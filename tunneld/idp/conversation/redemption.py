"""Review permissions: a visitor accepts what the visited organization will know and do."""

from __future__ import annotations

from starlette.responses import Response

from tunneld.idp.answers import correlation_of
from tunneld.idp.conversation.turns import Answer, Answered, Declined, Page, Turn
from tunneld.policy.refusals import refusal


async def _show(turn: Turn) -> Response:
    account = turn.session.account
    home = turn.talk.provider.directory.tenants.get(account[0])
    values = {"username": turn.talk.name_of(account), "home": home.display_name if home else ""}
    return turn.talk.page("consent.html", values)


async def _accept(turn: Turn) -> Answer:
    """Consent is to the tenant: a refusal of this one application afterwards does not take it back."""
    provider, tenant, account = turn.talk.provider, turn.talk.errand.wanted.tenant, turn.session.account
    await provider.store.remember_consent(tenant.id, account, provider.now())
    provider.records.audit(
        "Redeem external user invite", now=provider.clock(), correlation_id=correlation_of(turn.talk.request),
        tenant=tenant.id, home=account[0], home_oid=account[1],
    )
    return Answered()


async def _decline(turn: Turn) -> Answer:
    del turn
    return Declined(refusal(65004))


PAGE = Page(_show, {"consent": _accept, "decline": _decline})
