"""The second half of the demo's story: what two organizations decide about each other, and how each change is seen."""

from __future__ import annotations

import time
from ssl import create_default_context
from typing import Any

import httpx

from tunneld.lab import world
from tunneld.lab.administrators import AdministratorTokens
from tunneld.lab.configuration import Configuration
from tunneld.lab.sign_in import walk
from tunneld.lab.story import Stage, Step, Unexpected

PARTNERS = "/policies/crossTenantAccessPolicy/partners"
REDIRECT = "https://myapps.fabrikam.example/"  # nobody is there: the redirect to it is the end of the story
RECORD_S = 5.0  # a record is stored a fifth of a second after the answer
TIMEOUT_S = 20.0
GUEST = "robin@contoso.example"
_ALL_USERS = [{"target": "AllUsers", "targetType": "user"}]
_ALL_APPLICATIONS = [{"target": "AllApplications", "targetType": "application"}]
BLOCKED = {
    "usersAndGroups": {"accessType": "blocked", "targets": _ALL_USERS},
    "applications": {"accessType": "blocked", "targets": _ALL_APPLICATIONS},
}
TRUSTED = {
    "isMfaAccepted": True, "isCompliantDeviceAccepted": True, "isHybridAzureADJoinedDeviceAccepted": True,
}  # fmt: skip


class Administrators:
    """The administrators of all tenants, with Graph calls in their hands."""

    def __init__(self, configuration: Configuration, tokens: AdministratorTokens) -> None:
        self._tokens = tokens
        self.passwords = configuration.secrets.passwords
        context = create_default_context(cafile=str(configuration.paths.bundle))
        self.http = httpx.Client(base_url=configuration.idp_url, verify=context, trust_env=False, timeout=TIMEOUT_S)

    def call(self, tenant: str, method: str, path: str, body: Any = None, **query: str) -> dict[str, Any]:
        """Call Graph as a tenant's administrator. Raises Unexpected for a refusal."""
        token = self._tokens.file(tenant).read_text()
        headers = {"authorization": f"Bearer {token}"}
        answer = self.http.request(method, f"/v1.0{path}", json=body, params=query, headers=headers)
        if answer.is_error:
            asked = f"{method} {path} as {tenant}'s administrator"
            raise Unexpected(asked, f"{answer.status_code} {answer.text[:300]}")
        found = answer.json() if answer.content else {}
        assert isinstance(found, dict)
        return found


class IdentityStory:
    """The steps, which act with the tenants' administrators."""

    def __init__(self, administrators: Administrators) -> None:
        self._admin = administrators

    def steps(self) -> tuple[Step, ...]:
        """Return them in order."""
        return (
            Step("fabrikam blocks contoso with one PATCH, and a switch is refused", self.block),
            Step("both tenants' logs say why, each its own part", self.explain),
            Step("fabrikam trusts contoso, and the next switch passes", self.trust),
            Step("fabrikam invites a guest, who redeems on the page", self.invite),
        )

    def block(self, stage: Stage) -> str:
        """One PATCH of Graph, and the next switch is refused with the published code."""
        partner = f"{PARTNERS}/{world.CONTOSO.id}"
        known = self._admin.call("fabrikam", "GET", PARTNERS)["value"]
        if not any(one["tenantId"] == world.CONTOSO.id for one in known):
            self._admin.call("fabrikam", "POST", PARTNERS, {"tenantId": world.CONTOSO.id})
        self._admin.call("fabrikam", "PATCH", partner, {"b2bCollaborationInbound": BLOCKED})
        receipt = stage.command("switch", "fabrikam")
        if receipt.get("committed") or "AADSTS500213" not in str(receipt.get("detail")):
            raise Unexpected("a refused switch with AADSTS500213", receipt)
        return f"switch refused: {receipt['detail']}"

    def explain(self, stage: Stage) -> str:
        """The visited tenant's record names the setting; home's names the code, and keeps the other's secret."""
        del stage
        visited = self._refused("fabrikam")
        at_home = self._refused("contoso", correlation=visited["correlationId"])
        decided = next(step for step in visited["decisionTrace"] if step["effect"] == "block")
        leaks = [step for step in at_home["decisionTrace"] if step.get("setting") == "b2bCollaborationInbound"]
        if decided.get("setting") != "b2bCollaborationInbound" or leaks:
            raise Unexpected("b2bCollaborationInbound in fabrikam's record alone", (decided, leaks))
        return f"{decided['step']} {decided['setting']} of the {decided['source']}; same id in both tenants' logs"

    def trust(self, stage: Stage) -> str:
        """The block is lifted and the partner trusted; it counts from the next token on."""
        partner = f"{PARTNERS}/{world.CONTOSO.id}"
        self._admin.call("fabrikam", "PATCH", partner, {"b2bCollaborationInbound": None, "inboundTrust": TRUSTED})
        receipt = stage.command("switch", "fabrikam")
        if not receipt.get("committed"):
            raise Unexpected("a switch to fabrikam", receipt)
        back = stage.command("switch", world.HOME)
        if not back.get("committed"):
            raise Unexpected("a switch back home", back)
        return "inboundTrust all true; switched to fabrikam and back"

    def invite(self, stage: Stage) -> str:
        """An invitation by Graph, redeemed on the real pages."""
        del stage
        invited = self._admin.call("fabrikam", "POST", "/invitations", {
            "invitedUserEmailAddress": GUEST, "inviteRedirectUrl": REDIRECT,
        })  # fmt: skip
        guest = invited["invitedUser"]["id"]
        before = self._admin.call("fabrikam", "GET", f"/users/{guest}")["externalUserState"]
        password = self._admin.passwords[GUEST]
        walk(self._admin.http, invited["inviteRedeemUrl"], username=GUEST, password=password, stop_at=REDIRECT)
        after = self._admin.call("fabrikam", "GET", f"/users/{guest}")
        if (before, after["externalUserState"]) != ("PendingAcceptance", "Accepted"):
            raise Unexpected("PendingAcceptance, then Accepted", (before, after["externalUserState"]))
        return f"{after['userPrincipalName']}: {before} → {after['externalUserState']}"

    def _refused(self, tenant: str, *, correlation: str = "") -> dict[str, Any]:
        """Return the newest record of the refusal in a tenant's log, which comes a moment after the answer."""
        wanted = f"correlationId eq '{correlation}'" if correlation else "status/errorCode eq 500213"
        deadline = time.monotonic() + RECORD_S
        while time.monotonic() < deadline:
            page = self._admin.call(tenant, "GET", "/auditLogs/signIns", **{"$filter": wanted, "$top": "1"})
            if page["value"]:
                record = page["value"][0]
                assert isinstance(record, dict)
                return record
            time.sleep(0.1)
        raise Unexpected(f"a sign-in record in {tenant}'s log", "none")
