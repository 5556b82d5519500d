"""The table of pages. A new task is a module of its own and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request

from tunneld.idp.conversation import redemption, sign_in
from tunneld.idp.conversation.errand import Errand
from tunneld.idp.conversation.turns import Book, Conversation
from tunneld.idp.provider import Provider
from tunneld.policy.conditional_access.outcome import Task

BOOK = Book(
    tasks={
        Task.SIGN_IN: sign_in.PAGE,
        Task.REDEMPTION: redemption.PAGE,
        Task.CONSENT: redemption.PAGE,
    },
    sign_in=sign_in.show_sign_in,
    first_factors={
        "sign_in": sign_in.take_password,
    },
)


def conversation(provider: Provider, request: Request, errand: Errand, fields: Mapping[str, str]) -> Conversation:
    """Return the conversation that a request belongs to."""
    return Conversation(provider, request, errand, fields, BOOK)
