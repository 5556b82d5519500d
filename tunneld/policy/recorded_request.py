"""A sign-in's question as JSON text, so that it can be asked again: no password, no token and no proof that works.

The proof is kept as its verdict ("the right password, typed"), the facts as what the session had proved by then.
"""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from tunneld.policy.sign_in import SignInRequest

_FORM: TypeAdapter[SignInRequest] = TypeAdapter(SignInRequest)


def request_text(request: SignInRequest) -> str:
    """Return the question as JSON."""
    return _FORM.dump_json(request).decode()


def read_request(text: str) -> SignInRequest | None:
    """Return the question that `request_text` wrote; None for one that another version wrote and nobody can ask now."""
    try:
        return _FORM.validate_json(text)
    except ValidationError:
        return None
