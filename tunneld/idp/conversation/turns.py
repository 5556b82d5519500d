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
from tunneld.idp.decisions import decide, first_question, judge, method_of, session_question
from tunneld.idp.device_credentials import PROOF_HEADER, proven_device
from tunneld.idp.evidence import record_device
from tunneld.idp.pages import form_page
from tunneld.idp.provider import Provider
from tunneld.idp.sessions import csrf_holds, find_session, set_device, set_session, start_session, waiting_device
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
        self._device: str | None = None  # that proved itself in this request

    async def begin(self, *, silent: bool = False, fresh: bool = False) -> Response:
        """Answer from the session if there is one and it may be used, else show the sign-in page."""
        session = None if fresh else await self._usable_session()
        self._device = await self._prove_device(session)
        if PROOF_HEADER in self.request.headers and self._device is None:
            return self.errand.refuse(Deny(refusal(50155), ()))
        response = await self._begin(session, silent=silent)
        if self._device is not None and session is None:
            set_device(self.provider, response, self._device)
        return response

    async def _begin(self, session: Session | None, *, silent: bool) -> Response:
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
        interaction = await self._asked_for(asked, session)
        page = self._book.tasks.get(interaction.task) if interaction else None
        answer = page.answers.get(action) if page else None
        if isinstance(asked, Grant) and interaction is None and action in self.errand.actions:
            return await self.errand.actions[action](self, asked, session)
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

    async def _asked_for(self, outcome: Grant | Deny, session: Session) -> Interaction | None:
        """Return what a page has to ask now: for a policy, or for the errand itself."""
        if isinstance(outcome, Grant):
            return await self.errand.demand(outcome, session)
        return outcome.interaction

    async def proven(
        self, account: ObjectKey | None, proof: PasswordProof | MethodProof, *, typed: str, wrong: str
    ) -> Response:
        """Go on after a first factor was judged, right or wrong; `wrong` is what the page says then."""
        if account is not None and proof.correct and self.errand.at_home is not None:
            errand = self.errand.at_home(account)
            if errand is None:
                return self.errand.refuse(Deny(refusal(50020), ()))
            self.errand = errand
        via, device_id = method_of(proof), waiting_device(self.provider, self.request, account)
        question = await first_question(
            self.provider, self.request, self.errand.wanted, account, proof, device_id=device_id
        )
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

    async def attach_device(self, session: Session) -> bool:
        """Take a device's proof that came with this request; tell whether there was a good one."""
        return await self._prove_device(session) is not None

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
        interaction = await self._asked_for(outcome, session)
        page = self._book.tasks.get(interaction.task) if interaction else None
        if page is not None and interaction is not None:
            return await page.show(Turn(self, session, interaction))
        if isinstance(outcome, Grant):
            return await self._conclude(outcome, session)
        return await self.sign_in_page() if outcome.unproven else self.errand.refuse(outcome)

    async def _conclude(self, grant: Grant, session: Session) -> Response:
        response = await self.errand.conclude(grant, session)
        if grant.access.session.persistent_browser is True:
            set_session(self.provider, response, session, persistent=True)
        return response

    async def _decide(self, session: Session, via: str) -> Grant | Deny:
        question, via = await self._question(session), self.errand.via + via
        return await decide(self.provider, self.request, question, via=via, session=session)

    async def _question(self, session: Session) -> SignInRequest:
        return await session_question(self.provider, self.request, self.errand.wanted, session)

    async def _prove_device(self, session: Session | None) -> str | None:
        """Judge the proof in the header, and let the session have the device if it is of the same organization."""
        proof = self.request.headers.get(PROOF_HEADER)
        device = await proven_device(self.provider, proof) if proof is not None else None
        if device is None:
            return None
        if session is not None:
            if device.owner[0] != session.account[0]:
                return None
            await record_device(self.provider.database, session.id, device.device_id, self.provider.now())
        return device.device_id

    async def _usable_session(self) -> Session | None:
        """Return the session unless the client hinted at somebody else."""
        session = await find_session(self.provider, self.request)
        hinted = self.provider.directory.account(self.errand.login_hint)
        return None if session is None or (hinted is not None and hinted != session.account) else session
