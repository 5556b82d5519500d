"""Self-service sign-up: prove an address, answer the flow's questions, satisfy its connectors, become a guest.

An address that belongs to another tenant is proven by signing in there; every other one by a mailed code. No
invitation exists; the gates of invitations hold all the same, except who may invite.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tunneld.idp.answers import correlation_of
from tunneld.idp.changes import Actor, AuditEntry, AuditTarget, ConflictError
from tunneld.idp.conversation.book import conversation
from tunneld.idp.conversation.errand import Errand
from tunneld.idp.decisions import Wanted
from tunneld.idp.guests import guest_objects
from tunneld.idp.guests.connectors import ask_connector
from tunneld.idp.guests.letters import passcode_letter
from tunneld.idp.guests.outbox import post
from tunneld.idp.pages import form_page, message_page, refusal_page
from tunneld.idp.provider import Provider
from tunneld.idp.sessions import csrf_holds, set_session, start_session
from tunneld.idp.store import Session
from tunneld.idp.tenant_pages import Fields, tenant_page
from tunneld.policy.directory import ACCESS_PANEL, ExternalIdentity, ObjectKey, SignInWay, Tenant
from tunneld.policy.guests.addresses import parse_address
from tunneld.policy.guests.invitation import Proposal, Refuse, judge_redemption
from tunneld.policy.guests.names import default_display_name, guest_principal_name
from tunneld.policy.guests.passcode import Guess
from tunneld.policy.guests.sign_up import (
    ApiConnector,
    Blocked,
    ConnectorReference,
    Continue,
    Mistake,
    UserFlow,
    collect,
)
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.refusals import refusal
from tunneld.policy.sign_in import Deny, Grant

PROOF_S = 1800  # how long a proven address may take to answer the questions; as long as a code lives
_PURPOSE = "sign-up"


@tenant_page
async def sign_up(provider: Provider, request: Request, tenant: Tenant, fields: Fields) -> Response:
    """Serve GET and POST /{tenant}/signup/{flow}."""
    flow = tenant.object("userFlow", request.path_params["flow"])
    if not isinstance(flow, UserFlow) or not tenant.policy.collaboration.self_service_sign_up:
        text = "This organization does not let people sign up by themselves here."
        return message_page(heading="No sign-up here", text=text, tenant=tenant, status=404)
    return await _SignUp(provider, request, tenant, flow, fields).serve()


@dataclass(frozen=True, slots=True)
class _Proven:
    """An address whose owner is at the browser, and the home account behind it, if there is one."""

    address: str
    home: ObjectKey | None


class _SignUp:
    """One request of somebody who signs up."""

    def __init__(
        self, provider: Provider, request: Request, tenant: Tenant, flow: UserFlow, fields: Mapping[str, str]
    ) -> None:
        self._provider = provider
        self._request = request
        self._tenant = tenant
        self._flow = flow
        self._fields = fields

    async def serve(self) -> Response:
        """Go one step on. Every step stands on what the form carries sealed, not on what was shown before."""
        action = self._fields.get("action", "")
        if self._request.method != "POST":
            return self._address_page()
        if not csrf_holds(self._provider, self._request, self._fields.get("csrf", "")):
            return self._address_page(error=refusal(90013).sentence)
        if action == "attributes":
            proven = self._opened()
            return self._address_page() if proven is None else await self._take_attributes(proven)
        address = parse_address(self._fields.get("address", ""))
        if address is None:
            return self._address_page(error="That is not a mail address that can be used here.")
        refused = self._judge(address)
        if refused is not None:
            return refused
        home = self._home_of(address)
        if home is not None:
            return await self._at_home(address, home)
        return await self._take_code(address) if action == "code" else await self._send_code(address)

    def _judge(self, address: str) -> Response | None:
        outcome = judge_redemption(Proposal(self._tenant, None, address), self._provider.directory)
        if not isinstance(outcome, Refuse):
            return None
        text = f"{outcome.message} {outcome.mend}"
        return message_page(heading="You cannot sign up", text=text, tenant=self._tenant, status=403)

    def _home_of(self, address: str) -> ObjectKey | None:
        account = self._provider.directory.account(address)
        return account if account is not None and account[0] != self._tenant.id else None

    async def _at_home(self, address: str, account: ObjectKey) -> Response:
        """Have the account sign in at its own tenant, with everything that this tenant asks for."""
        home = self._provider.directory.tenants[account[0]]

        async def conclude(grant: Grant, session: Session) -> Response:
            del grant
            if session.account != account:
                return self._address_page(error="You signed in with another account.")
            return await self._questions(_Proven(address, account))

        def refuse(denied: Deny) -> Response:
            return refusal_page(self._request, denied.refusal, self._tenant)

        wanted = Wanted(home, self._provider.directory.clients[ACCESS_PANEL], ACCESS_PANEL)
        errand = Errand(wanted, (("address", address),), conclude, refuse, login_hint=address, via="sign_up_")
        talk = conversation(self._provider, self._request, errand, self._fields)
        return await (talk.begin() if self._fields["action"] == "address" else talk.answer_form())

    async def _send_code(self, address: str) -> Response:
        if not self._tenant.policy.collaboration.one_time_passcode:
            return self._address_page(error="This organization does not mail codes. Use another address.")
        code = self._provider.passcodes.issue((self._tenant.id, f"{_PURPOSE} {address}"), self._provider.now())
        if code is not None:
            await post(self._provider, passcode_letter(self._tenant, address, code))
        return self._page("sign_up_code.html", {"address": address, "error": ""})

    async def _take_code(self, address: str) -> Response:
        key = (self._tenant.id, f"{_PURPOSE} {address}")
        guess = self._provider.passcodes.judge(key, self._fields.get("code", "")[:64], self._provider.now())
        if guess is not Guess.RIGHT:
            error = "That code is wrong." if guess is Guess.WRONG else "That code cannot be used any more."
            return self._page("sign_up_code.html", {"address": address, "error": error})
        return await self._questions(_Proven(address, None))

    async def _questions(self, proven: _Proven) -> Response:
        if self._known(proven):
            text = "You are a guest of this organization already. Sign in as usual."
            return message_page(heading="You have an account", text=text, tenant=self._tenant)
        step = self._flow.api_connector_configuration.post_federation_signup
        values: dict[str, str] = {}
        outcome = await self._ask(step, proven, values, "PostFederationSignup")
        return outcome if outcome is not None else self._attributes_page(proven, values, {}, "")

    async def _take_attributes(self, proven: _Proven) -> Response:
        if self._known(proven):
            return await self._questions(proven)
        values, wrong = collect(self._flow, self._fields)
        if wrong:
            return self._attributes_page(proven, values, wrong, "")
        step = self._flow.api_connector_configuration.post_attribute_collection
        outcome = await self._ask(step, proven, values, "PostAttributeCollection")
        return outcome if outcome is not None else await self._create(proven, values)

    async def _ask(
        self, reference: ConnectorReference | None, proven: _Proven, values: dict[str, str], step: str
    ) -> Response | None:
        """Ask a connector, if the flow has one at this step; `values` take over what it answers."""
        connector = self._tenant.object("apiConnector", reference.id) if reference is not None else None
        if not isinstance(connector, ApiConnector):
            return None
        answer = await ask_connector(self._provider, connector, self._flow, proven.address, values, step=step)
        if isinstance(answer, Continue):
            values.update(answer.values)
            return None
        if isinstance(answer, Mistake):
            return self._attributes_page(proven, values, {}, answer.sentence)
        await self._record_block(proven, connector, answer)
        return message_page(heading="You cannot sign up", text=answer.sentence, tenant=self._tenant, status=403)

    async def _record_block(self, proven: _Proven, connector: ApiConnector, answer: Blocked) -> None:
        details = {"userFlow": self._flow.id, "apiConnector": connector.id, "failure": answer.failure}
        target = AuditTarget("", proven.address, "User")
        reason = answer.failure or answer.sentence
        record = AuditEntry(
            "Add user", "UserManagement", self._tenant.id, self._actor(), (target,), "failure", reason, details,
        )
        await self._provider.records.store_audits([record], correlation_of(self._request))

    async def _create(self, proven: _Proven, values: dict[str, str]) -> Response:
        """Make the guest, accepted from the beginning: signing up is the acceptance."""
        tenant, provider = self._tenant, self._provider
        taken = {user.upn.lower() for user in tenant.users.values()}
        name = guest_principal_name(proven.address, guest_objects.own_domain(tenant), taken)
        identity = ExternalIdentity(SignInWay.MAIL, "mail", proven.address)
        document: dict[str, Any] = {
            "displayName": default_display_name(proven.address), **values, "userPrincipalName": name,
            "mail": proven.address, "userType": "Guest", "creationType": "SelfServiceSignUp", "accountEnabled": True,
            **guest_objects.accepted(provider.clock()),
            **(guest_objects.bound(identity) if proven.home is None
               else {**guest_objects.home_link(provider.directory, proven.address), **guest_objects.bound_at_home()}),
        }
        oid = str(uuid.uuid4())
        guest = guest_objects.written(provider.directory, tenant.id, oid, document)
        record = AuditEntry(
            "Add user", "UserManagement", tenant.id, self._actor(), (AuditTarget(oid, name, "User"),),
            details={"userFlow": self._flow.id, "creationType": "SelfServiceSignUp"},
        )
        try:
            await provider.commit(
                [Change(ObjectRef(tenant.id, "user", oid), guest)], [record],
                correlation_id=correlation_of(self._request),
            )
        except ConflictError as error:
            return self._attributes_page(proven, values, {}, error.conflict.message)
        response = RedirectResponse(f"/{tenant.id}/myapps", status_code=303)
        if proven.home is None:
            set_session(provider, response, await start_session(provider, self._request, (tenant.id, oid), "email"))
        return response

    def _known(self, proven: _Proven) -> bool:
        tenant = self._provider.directory.tenants[self._tenant.id]
        if guest_objects.guest_of_address(tenant, proven.address) is not None:
            return True
        return proven.home is not None and self._provider.directory.presence(tenant, proven.home) is not None

    def _opened(self) -> _Proven | None:
        """Return what was proven, from the sealed field: for this tenant and flow, and not too long ago."""
        text = self._provider.seal.open(_PURPOSE, self._fields.get("proof", ""))
        parts = (text or "").split("~")
        if len(parts) != 5 or parts[:2] != [self._tenant.id, self._flow.id.lower()]:
            return None
        if self._provider.now() >= int(parts[2]):
            return None
        home = self._home_of(parts[3]) if parts[4] == "home" else None
        if (parts[4] == "home") is not (home is not None) or self._judge(parts[3]) is not None:
            return None
        return _Proven(parts[3], home)

    def _sealed(self, proven: _Proven) -> str:
        until = self._provider.now() + PROOF_S
        kind = "home" if proven.home is not None else "mail"
        text = "~".join((self._tenant.id, self._flow.id.lower(), str(until), proven.address, kind))
        return self._provider.seal.seal(_PURPOSE, text)

    def _address_page(self, error: str = "") -> Response:
        return self._page("sign_up.html", {"address": self._fields.get("address", "")[:128], "error": error})

    def _attributes_page(
        self, proven: _Proven, values: Mapping[str, str], wrong: Mapping[str, str], error: str
    ) -> Response:
        questions = [
            {
                "name": f"attribute_{one.id}", "label": one.label, "optional": one.is_optional,
                "choices": [(choice.value, choice.name) for choice in one.user_attribute_values],
                "value": values.get(one.id, ""), "error": wrong.get(one.id, ""),
            }
            for one in self._flow.user_attribute_assignments
        ]
        shown = {"address": proven.address, "proof": self._sealed(proven), "questions": questions, "error": error}
        return self._page("sign_up_attributes.html", shown)

    def _page(self, template: str, values: Mapping[str, object]) -> Response:
        return form_page(self._provider, self._request, template, self._tenant, {"hidden": (), **values})

    def _actor(self) -> Actor:
        return Actor("system", self._tenant.id, "", "Self-service sign-up")
