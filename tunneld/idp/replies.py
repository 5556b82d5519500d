"""The answer to an authorization request, in the query, in the fragment, or as a form that a page sends.

RFC 6749 §4.1.2, RFC 9207 for `iss`, OAuth 2.0 Form Post Response Mode for the form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response

from tunneld.idp.answers import redirect_back
from tunneld.idp.pages import reply_page
from tunneld.policy.refusals import Refusal


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Where and how a client wants to be answered."""

    redirect_uri: str
    mode: str
    state: str | None
    issuer: str

    def code(self, code: str) -> Response:
        """Return the answer with a code."""
        return self._send({"code": code})

    def refusal(self, refused: Refusal) -> Response:
        """Return the answer that it came to nothing (RFC 6749 §4.1.2.1)."""
        return self._send({
            "error": refused.error, "error_description": refused.description, "suberror": str(refused.reason),
        })

    def _send(self, answer: Mapping[str, str]) -> Response:
        parameters = {**answer, "state": self.state, "iss": self.issuer}
        if self.mode == "form_post":
            return reply_page(self.redirect_uri, {k: v for k, v in parameters.items() if v is not None})
        return redirect_back(self.redirect_uri, parameters, fragment=self.mode == "fragment")
