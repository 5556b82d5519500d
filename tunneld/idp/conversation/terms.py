"""Terms of use: read them, accept or decline; both are in the audit log."""

from __future__ import annotations

from starlette.responses import Response

from tunneld.idp.conversation.turns import Again, Answer, Answered, Declined, Page, Turn
from tunneld.idp.evidence import accept_terms
from tunneld.idp.method_records import ACCEPTED, DECLINED, terms_answered
from tunneld.idp.session_facts import owner_at
from tunneld.idp.terms import shown_text, title_of, version_of
from tunneld.policy.directory import ObjectKey
from tunneld.policy.refusals import refusal


def _asked(turn: Turn) -> tuple[ObjectKey, str, str] | None:
    """Return (whose, which agreement, which version) is asked for now."""
    tenant, agreement_id = turn.talk.errand.wanted.tenant, turn.interaction.agreement
    owner = owner_at(turn.talk.provider, turn.session.account, tenant)
    version = version_of(tenant, agreement_id)
    return (owner, agreement_id, version) if owner is not None and version is not None else None


async def _show(turn: Turn) -> Response:
    tenant, asked = turn.talk.errand.wanted.tenant, _asked(turn)
    values = {
        "username": turn.talk.name_of(turn.session.account), "error": turn.error,
        "heading": title_of(tenant, turn.interaction.agreement), "text": shown_text(tenant, turn.interaction.agreement),
        "version": asked[2] if asked else "",
    }
    return turn.talk.page("terms.html", values)


async def _accept(turn: Turn) -> Answer:
    provider, asked = turn.talk.provider, _asked(turn)
    if asked is None:
        return Again("These terms of use are not offered any more.")
    owner, agreement_id, version = asked
    if turn.talk.fields.get("version") != version:  # somebody accepts what they saw, nothing else
        return Again("The terms of use have changed. Read them again.")
    await accept_terms(provider.database, owner, agreement_id, version, provider.now())
    await _record(turn, asked, ACCEPTED)
    return Answered()


async def _decline(turn: Turn) -> Answer:
    asked = _asked(turn)
    if asked is not None:
        await _record(turn, asked, DECLINED)
    return Declined(refusal(50158, "The user declined the terms of use."))


async def _record(turn: Turn, asked: tuple[ObjectKey, str, str], activity: str) -> None:
    owner, agreement_id, version = asked
    name = title_of(turn.talk.errand.wanted.tenant, agreement_id)
    await terms_answered(
        turn.talk.provider, turn.talk.request, owner, activity, agreement=agreement_id, name=name, version=version
    )


PAGE = Page(_show, {"accept": _accept, "decline": _decline})
