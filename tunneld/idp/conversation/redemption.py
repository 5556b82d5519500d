"""Review permissions: a visitor accepts what the visited organization will know and do."""

from __future__ import annotations

from starlette.responses import Response

from tunneld.idp.answers import correlation_of
from tunneld.idp.changes import Actor, AuditEntry, AuditTarget, ConflictError
from tunneld.idp.conversation.turns import Again, Answer, Answered, Declined, Page, Turn
from tunneld.idp.guests.acceptance import accept, external_identity
from tunneld.idp.guests.ways import choice_for
from tunneld.policy.directory import SignInWay, Tenant, User
from tunneld.policy.refusals import refusal

_ACTIVITY = "Redeem external user invite"
_OTHER_WAY = "This invitation is not accepted with this account. Follow the invitation's link."


async def _show(turn: Turn) -> Response:
    account = turn.session.account
    home = turn.talk.provider.directory.tenants.get(account[0])
    visiting = home is not None and home.id != turn.talk.errand.wanted.tenant.id
    values = {
        "username": turn.talk.name_of(account), "home": home.display_name if home and visiting else "",
        "error": turn.error,
    }
    return turn.talk.page("consent.html", values)


async def _accept(turn: Turn) -> Answer:
    """Consent is to the tenant: a refusal of this one application afterwards does not take it back."""
    provider, account = turn.talk.provider, turn.session.account
    tenant = provider.directory.tenants[turn.talk.errand.wanted.tenant.id]
    guest = provider.directory.presence(tenant, account)
    if guest is not None and guest.pending:
        refused = await _redeem(turn, tenant, guest)
        if refused:
            return Again(refused)
    elif guest is not None:
        who, target = Actor("user", tenant.id, guest.oid, guest.upn), AuditTarget(guest.oid, guest.upn, "User")
        record = AuditEntry(_ACTIVITY, "UserManagement", tenant.id, who, (target,), service="Invited Users")
        await provider.records.store_audits([record], correlation_of(turn.talk.request))
    await provider.store.remember_consent(tenant.id, account, provider.now())
    return Answered()


async def _redeem(turn: Turn, tenant: Tenant, guest: User) -> str:
    """Bind the guest to the account of this session; return why not, if not."""
    provider, account = turn.talk.provider, turn.session.account
    identity = None
    if account[0] == tenant.id:
        identity = await external_identity(provider, guest, turn.session.id)
    way = identity.way if identity is not None else SignInWay.HOME
    if guest.mail and way not in (await choice_for(provider, tenant, guest.mail.lower())).ways:
        return _OTHER_WAY
    try:
        await accept(provider, tenant, guest, identity, correlation_id=correlation_of(turn.talk.request))
    except ConflictError as error:
        return error.conflict.message
    return ""


async def _decline(turn: Turn) -> Answer:
    del turn
    return Declined(refusal(65004))


PAGE = Page(_show, {"consent": _accept, "decline": _decline})
