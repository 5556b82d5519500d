"""Groups of members of a sign-in record, each made from one part of what was decided on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tunneld.policy.conditional_access.outcome import AccessVerdict
from tunneld.policy.facts import DeviceFacts, MethodUse
from tunneld.policy.sign_in_values import SessionProof, SignInRequest

PASSED_AT_HOME = "MFA satisfied by claim in home tenant"
_STRONG = frozenset({"fido2", "windowsHelloForBusiness", "x509CertificateMultiFactor", "federatedMultiFactor"})
_SILENT = frozenset({"refresh", "session"})
_APPS = {"browser": "Browser", "mobileAppsAndDesktopClients": "Mobile Apps and Desktop clients"}


def methods_of(uses: Sequence[MethodUse]) -> dict[str, Any]:
    """Return which methods were used."""
    return {
        "authenticationMethodsUsed": sorted({use.method for use in uses}),
        "authenticationDetails": [
            {"authenticationMethod": use.method, "authenticationStepDateTime": _time(use.at), "succeeded": True,
             "authenticationStepResultDetail": None}
            for use in sorted(uses, key=lambda use: (use.at, use.method))
        ],
    }


def multifactor(uses: Sequence[MethodUse]) -> bool:
    """Tell whether methods make multifactor authentication: two of them, or one that is two in itself."""
    words = {use.method for use in uses}
    return len(words) > 1 or not _STRONG.isdisjoint(words)


def access_members(verdict: AccessVerdict | None) -> dict[str, Any]:
    """Return what Conditional Access did; None hides it, as a tenant sees the other's policies."""
    applied = verdict.applied if verdict is not None else ()
    results = {policy.result for policy in applied}
    status = "failure" if "failure" in results else "success" if "success" in results else "notApplied"
    controls = {control for policy in applied if policy.result in ("success", "failure")
                for control in policy.grant_controls}
    several = any(control.lower() == "mfa" or control.startswith("authenticationStrength") for control in controls)
    return {
        "conditionalAccessStatus": status,
        "authenticationRequirement": "multiFactorAuthentication" if several else "singleFactorAuthentication",
        "authenticationContextClassReferences": [
            {"id": context, "detail": "required"} for context in (verdict.contexts if verdict else ())
        ],
        "appliedConditionalAccessPolicies": [
            {
                "id": policy.id, "displayName": policy.display_name, "result": policy.result,
                "enforcedGrantControls": list(policy.grant_controls),
                "enforcedSessionControls": list(policy.session_controls),
                "conditionsSatisfied": list(policy.satisfied), "conditionsNotSatisfied": list(policy.not_satisfied),
            }
            for policy in applied
        ],
    }


def device_of(
    device: DeviceFacts | None, *, compliant: bool = True, joined: bool = True, named: bool = True
) -> dict[str, Any]:
    """Return what is shown of a device: all of it, or only those of its claims that are trusted."""
    if device is None:
        return {"deviceDetail": None}
    trust = "Hybrid Azure AD joined" if device.hybrid_joined else "Azure AD registered"
    return {
        "deviceDetail": {
            "deviceId": device.id if named else None, "displayName": device.display_name if named else None,
            "operatingSystem": device.operating_system if named else None, "browser": None,
            "isCompliant": device.compliant if compliant else None, "isManaged": None,
            "trustType": trust if joined else None,
        }
    }


def surroundings_of(request: SignInRequest, via: str, user_agent: str | None) -> dict[str, Any]:
    """Return what the request itself shows, to whomever it was sent."""
    around = request.around
    interactive = around.interactive and not (via in _SILENT and isinstance(request.proof, SessionProof))
    country = {"city": None, "state": None, "countryOrRegion": around.country, "geoCoordinates": None}
    return {
        "ipAddress": around.address or None, "location": country if around.country else None,
        "clientAppUsed": _APPS.get(around.client_app, around.client_app), "userAgent": user_agent,
        "isInteractive": interactive, "signInEventTypes": ["interactiveUser" if interactive else "nonInteractiveUser"],
        "incomingTokenType": "refreshToken" if via == "refresh" else "none",
        "authenticationProtocol": "deviceCode" if "device" in via else "oAuth2", "clientCredentialType": "none",
        "tokenIssuerType": "AzureAD", "isThroughGlobalSecureAccess": None, "riskState": None, "riskDetail": None,
    }


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
