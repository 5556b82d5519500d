"""One call of the admin API: who calls, on which tenant, what they may, and how they are told no."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from starlette.requests import Request

from tunneld.idp.answers import ApiError, correlation_of
from tunneld.idp.graph.resource import Operation
from tunneld.idp.provider import Provider, provider_of
from tunneld.idp.tokens import Caller, verify_bearer
from tunneld.policy.directory import DIRECTORY_API, Directory, Tenant, User
from tunneld.policy.roles import Permit, Refuse, allowed, everybody_may

_QUESTIONS = ("/getMemberObjects", "/getMemberGroups")  # sent by POST, and change nothing


@dataclass(frozen=True, slots=True)
class Call:
    """An authenticated call. The tenant is the token's: nobody administers another one."""

    request: Request
    provider: Provider
    caller: Caller
    operation: Operation
    version: str

    @classmethod
    def of(cls, request: Request, operation: Operation, version: str) -> Call:
        """Verify the token and the operation's permission. Raises ApiError(401 or 403)."""
        provider = provider_of(request)
        call = cls(request, provider, verify_bearer(provider, request, DIRECTORY_API), operation, version)
        if call.unconsented and operation.method != "GET" and not operation.path.endswith(_QUESTIONS):
            # Some operations judge the user by themselves: owners, inviters. None of them is this client's to ask for.
            raise ApiError(403, "Authorization_RequestDenied", "No administrator consented to this application.")
        if operation.permission:
            call.require(operation.permission)
        return call

    @property
    def unconsented(self) -> bool:
        """Tell whether the client is an application that registered itself; it may read what everybody reads."""
        client = self.directory.clients.get(self.caller.client_id)
        return client is None or bool(client.tenant)

    @property
    def directory(self) -> Directory:
        """The directory now; another one after each write."""
        return self.provider.directory

    @property
    def tenant(self) -> Tenant:
        """The tenant that is read or written."""
        return self.provider.directory.tenants[self.caller.tenant.id]

    @property
    def user(self) -> User:
        """Whoever calls."""
        return self.caller.user

    @property
    def correlation_id(self) -> str:
        return correlation_of(self.request)

    @property
    def root(self) -> str:
        """The base of all URLs of this version."""
        return f"{self.provider.base_url}/{self.version}"

    def parameter(self, name: str = "id") -> str:
        """Return a path parameter, "" when the path has none of that name."""
        return str(self.request.path_params.get(name, ""))

    def may(self, permission: str, scope: str = "") -> bool:
        """Tell whether the caller has a permission, a step-up aside."""
        return not isinstance(self._verdict(permission, scope), Refuse)

    def require(self, permission: str, scope: str = "") -> None:
        """Raise ApiError(403) without the permission, and a claims challenge where it asks for a step-up first."""
        verdict = self._verdict(permission, scope)
        if isinstance(verdict, Refuse):
            raise ApiError(403, "Authorization_RequestDenied", f"Insufficient privileges. {verdict.sentence}")
        context = self.tenant.policy.roles.protected.get(permission)
        if context is not None and context not in self.caller.contexts:
            raise self._step_up(permission, context)

    def _verdict(self, permission: str, scope: str) -> Permit | Refuse:
        """Judge the user, and the client: what an application registered for itself has no administrator's consent.

        It reads what everybody reads; roles and ownership of whoever signed in to it stay out of its reach.
        """
        if self.unconsented:
            return Permit() if permission in everybody_may(self.tenant, self.user) else Refuse(permission, ())
        return allowed(self.tenant, self.user, permission, scope)

    def _step_up(self, permission: str, context: str) -> ApiError:
        """Return the claims challenge of the Microsoft identity platform; it is sent to capable clients alone.

        A client that did not say `cp1` could not read it, and is told 403.
        """
        message = f"{permission} is protected: sign in again for the authentication context {context}."
        if "cp1" not in self.caller.capabilities:
            return ApiError(403, "insufficient_claims", message)
        wanted = {"access_token": {"acrs": {"essential": True, "value": context}}}
        claims = base64.b64encode(json.dumps(wanted, separators=(",", ":")).encode()).decode()
        realm = self.caller.tenant.id
        authorize = f"{self.provider.base_url}/{realm}/oauth2/v2.0/authorize"
        challenge = (
            f'Bearer realm="{realm}", authorization_uri="{authorize}", error="insufficient_claims", claims="{claims}"'
        )
        return ApiError(401, "insufficient_claims", message, headers={"www-authenticate": challenge})
