"""The conversation: ask the decision, show the page that it calls for, take the answer, ask again until it ends.

The pages are a table by task. No page is trusted to know what is asked: each answer is held against the decision as
it is at that moment, so that a step cannot be skipped, taken in advance, or answered for another tenant.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from tunneld.idp.conversation.errand import Errand
from tunneld.idp.decisions import decide, first_question, judge, session_question
from tunneld.idp.pages import form_page
from tunneld.idp.provider import Provider
from tunneld.idp.sessions import csrf_holds, find_session, set_session, start_session
from tunneld.idp.store import Session
from tunneld.policy.conditional_access.outcome import Interaction, Task
from tunneld.policy.directory import ObjectKey
from tunneld.policy.refusals import Refusal, refusal
from tunneld.policy.sign_in import Deny, Grant, MethodProof, PasswordProof, SignInRequest

CANCELLED = "The user cancelled the sign-in."


@dataclass(frozen=True, slots=True)
class Answered:
    """The page was answered; facts may have changed."""


@dataclass(frozen=True, slots=True)
class Again:
    """The answer will not do; the page is shown once more with a sentence."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The person does not want to; the errand ends with this refusal."""

    refusal: Refusal


Answer = Answered | Again | Declined | Response


@dataclass(frozen=True, slots=True)
class Turn:
    """One look at one page: whose conversation, on which session, and what the decision asks for."""

    talk: Conversation
    session: Session
    interaction: Interaction
    error: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """How one task is shown, and what each of its buttons does."""

    show: Callable[[Turn], Awaitable[Response]]
    answers: Mapping[str, Callable[[Turn], Awaitable[Answer]]]


@dataclass(frozen=True, slots=True)
class Book:
    """All pages: by task, and those that prove who somebody is before there is a session."""

    tasks: Mapping[Task, Page]
    sign_in: Callable[[Conversation, str], Awaitable[Response]]  # the first page, with an error sentence
    first_factors: Mapping[str, Callable[[Conversation], Awaitable[Response]]]


class Conversation:
    """One request of the conversation; the parameters come along each time, the session is in the cookie."""

    def __init__(
        self, provider: Provider, request: Request, errand: Errand, fields: Mapping[str, str], book: Book
    ) -> None:
        self.provider = provider
        self.request = request
        self.errand = errand
        self.fields = fields
        self._book = book

    async def begin(self, *, silent: bool = False, fresh: bool = False) -> Response:
        """Answer from the session if there is one and it may be used, else show the sign-in page."""
        session = None if fresh else await self._usable_session()
        if session is None:
            return self.errand.refuse(Deny(refusal(50058), ())) if silent else await self.sign_in_page()
        if silent:
            outcome = await self._decide(session, "silent")
            return await self._conclude(outcome, session) if isinstance(outcome, Grant) else self.errand.refuse(outcome)
        return await self.go_on(session, "session")

    async def answer_form(self) -> Response:
        """Act on a form of ours; a form that did not come from a page of ours starts again."""
        out_of_date = refusal(90013).sentence
        if not csrf_holds(self.provider, self.request, self.fields.get("csrf", "")):
            return await self.sign_in_page(out_of_date)
        action = self.fields.get("action", "")
        first = self._book.first_factors.get(action)
        if first is not None:
            return await first(self)
        session = await self._usable_session()
        if session is None:
            if action == "decline":
                return self.errand.refuse(Deny(refusal(65004, CANCELLED), ()))
            return await self.sign_in_page(out_of_date)
        return await self._take_answer(action, session)

    async def _take_answer(self, action: str, session: Session) -> Response:
        asked = judge(self.provider, await self._question(session))
        interaction = asked.interaction if isinstance(asked, Deny) else None
        page = self._book.tasks.get(interaction.task) if interaction else None
        answer = page.answers.get(action) if page else None
        if page is None or answer is None or interaction is None:
            if action == "decline":
                return self.errand.refuse(Deny(refusal(65004, CANCELLED), ()))
            return await self.go_on(session, "session")  # another tab was quicker, or somebody made the form up
        result = await answer(Turn(self, session, interaction))
        if isinstance(result, Again):
            return await page.show(Turn(self, session, interaction, result.sentence))
        if isinstance(result, Declined):
            return self.errand.refuse(Deny(result.refusal, ()))
        return await self.go_on(session, action) if isinstance(result, Answered) else result

    async def proven(
        self, account: ObjectKey | None, proof: PasswordProof | MethodProof, *, typed: str, wrong: str
    ) -> Response:
        """Go on after a first factor was judged, right or wrong; `wrong` is what the page says then."""
        via = "password" if isinstance(proof, PasswordProof) else proof.method
        question = await first_question(self.provider, self.request, self.errand.wanted, account, proof)
        outcome = await decide(self.provider, self.request, question, via=self.errand.via + via, typed=typed)
        if isinstance(outcome, Deny) and outcome.unproven:
            return await self.sign_in_page(wrong)
        if account is None or (isinstance(outcome, Deny) and not outcome.authenticated):
            assert isinstance(outcome, Deny)  # before the proof was judged: no session may come of it
            return self.errand.refuse(outcome)
        session = await start_session(self.provider, self.request, account, via)
        response = await self._settle(outcome, session)
        persistent = outcome.access.session.persistent_browser is True
        set_session(self.provider, response, session, persistent=persistent)
        return response

    async def go_on(self, session: Session, via: str) -> Response:
        """Ask the decision anew, write it down, and end the conversation or show the page that it calls for."""
        return await self._settle(await self._decide(session, via), session)

    async def sign_in_page(self, error: str = "") -> Response:
        """Show the first page."""
        return await self._book.sign_in(self, error)

    def page(self, template: str, values: Mapping[str, object], *, script: bool = False) -> Response:
        """Return a page with a form of this conversation; the errand's parameters go with it."""
        errand = self.errand
        return form_page(
            self.provider, self.request, template, errand.wanted.tenant, {"hidden": errand.carried, **values},
            redirect_uri=errand.redirect_uri, script=script,
        )

    def name_of(self, account: ObjectKey) -> str:
        """Return the name that a page shows for an account."""
        user = self.provider.directory.user(account)
        return user.upn if user else ""

    async def _settle(self, outcome: Grant | Deny, session: Session) -> Response:
        if isinstance(outcome, Grant):
            return await self._conclude(outcome, session)
        page = self._book.tasks.get(outcome.interaction.task) if outcome.interaction else None
        if page is not None and outcome.interaction is not None:
            return await page.show(Turn(self, session, outcome.interaction))
        return await self.sign_in_page() if outcome.unproven else self.errand.refuse(outcome)

    async def _conclude(self, grant: Grant, session: Session) -> Response:
        response = await self.errand.conclude(grant, session)
        if grant.access.session.persistent_browser is True:
            set_session(self.provider, response, session, persistent=True)
        return response

    async def _decide(self, session: Session, via: str) -> Grant | Deny:
        return await decide(self.provider, self.request, await self._question(session), via=self.errand.via + via)

    async def _question(self, session: Session) -> SignInRequest:
        return await session_question(self.provider, self.request, self.errand.wanted, session)

    async def _usable_session(self) -> Session | None:
        """Return the session unless the client hinted at somebody else."""
        session = await find_session(self.provider, self.request)
        hinted = self.provider.directory.account(self.errand.login_hint)
        return None if session is None or (hinted is not None and hinted != session.account) else session
