"""The table of pages. A new task is a module of its own and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request

from tunneld.idp.conversation import managed_device, mfa, passkey, redemption, register, sign_in, terms
from tunneld.idp.conversation.errand import Errand
from tunneld.idp.conversation.turns import Book, Conversation
from tunneld.idp.federation.first_factors import SOCIAL_FACTORS
from tunneld.idp.guests.first_factors import FIRST_FACTORS
from tunneld.idp.provider import Provider
from tunneld.policy.conditional_access.outcome import Task

BOOK = Book(
    tasks={
        Task.SIGN_IN: sign_in.PAGE,
        Task.REDEMPTION: redemption.PAGE,
        Task.CONSENT: redemption.PAGE,
        Task.MFA: mfa.PAGE,
        Task.REGISTER_MFA: register.PAGE,
        Task.TERMS_OF_USE: terms.PAGE,
        Task.DEVICE: managed_device.PAGE,
    },
    sign_in=sign_in.show_sign_in,
    first_factors={
        "sign_in": sign_in.take_password,
        "passkey": passkey.show_sign_in,
        "passkey_sign_in": passkey.take_sign_in,
        **FIRST_FACTORS,
        **SOCIAL_FACTORS,
    },
)


def conversation(provider: Provider, request: Request, errand: Errand, fields: Mapping[str, str]) -> Conversation:
    """Return the conversation that a request belongs to."""
    return Conversation(provider, request, errand, fields, BOOK)
