"""A policy asks for a managed device: the page says so and lets the device try again."""

from __future__ import annotations

from starlette.responses import Response

from tunneld.idp.conversation.turns import Again, Answer, Answered, Declined, Page, Turn
from tunneld.policy.refusals import refusal

UNPROVEN = "This device did not identify itself to your organization."


async def _show(turn: Turn) -> Response:
    talk = turn.talk
    home = talk.provider.directory.tenants.get(turn.session.account[0])
    values = {
        "username": talk.name_of(turn.session.account), "error": turn.error,
        "home": home.display_name if home else "",
    }
    return talk.page("device_needed.html", values)


async def _retry(turn: Turn) -> Answer:
    device = await turn.talk.attach_device(turn.session)
    return Answered() if device else Again(UNPROVEN)


async def _decline(turn: Turn) -> Answer:
    del turn
    return Declined(refusal(50097))


PAGE = Page(_show, {"device": _retry, "decline": _decline})
