"""How the identity provider says no: a code, the OAuth `error`, a sentence and the `Reason` behind it.

Codes and sentences follow the AADSTS list that Microsoft publishes, since clients' logs are searched for them.
Programs branch on `error` (RFC 6749 §4.1.2.1, §5.2), never on the code.
"""

from __future__ import annotations

from dataclasses import dataclass

from tunneld.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal, ready to be written as a JSON body, a redirect or a line on a page."""

    code: int
    error: str
    sentence: str
    reason: Reason

    @property
    def description(self) -> str:
        """Return the text of `error_description`."""
        return f"AADSTS{self.code}: {self.sentence}"


_TABLE: dict[int, tuple[str, Reason, str]] = {
    # The request
    90002: ("invalid_request", Reason.TENANT_UNKNOWN, "The tenant was not found."),
    90014: ("invalid_request", Reason.MALFORMED_REQUEST, "A required field is missing or malformed."),
    900144: ("invalid_request", Reason.MALFORMED_REQUEST, "The request body is missing a parameter."),
    700016: ("unauthorized_client", Reason.TOKEN_ACTOR, "The application was not found in the directory."),
    700025: ("invalid_client", Reason.TOKEN_ACTOR, "The client is public, so no secret or assertion may be presented."),
    50011: ("invalid_request", Reason.MALFORMED_REQUEST, "The redirect URI is not registered for the application."),
    70003: ("unsupported_grant_type", Reason.UNSUPPORTED_COMMAND, "The grant type is not offered."),
    700054: ("unsupported_response_type", Reason.UNSUPPORTED_COMMAND, "Only response_type=code is offered."),
    70011: ("invalid_scope", Reason.TOKEN_SCOPE, "The scope is not valid."),
    28000: ("invalid_scope", Reason.TOKEN_SCOPE, "The scopes name more than one resource."),
    500011: ("invalid_scope", Reason.TOKEN_AUDIENCE, "The resource was not found in the tenant."),
    50147: ("invalid_request", Reason.MALFORMED_REQUEST, "A code_challenge of method S256 is required."),
    # Codes and refresh tokens
    50148: ("invalid_grant", Reason.LOGIN_FAILED, "The code_verifier does not match the code_challenge."),
    9002313: ("invalid_grant", Reason.LOGIN_FAILED, "The grant is malformed or unknown."),
    700005: ("invalid_grant", Reason.TOKEN_TENANT, "The code was issued for another tenant."),
    700009: ("invalid_grant", Reason.TOKEN_ACTOR, "The grant was issued to another client or redirect URI."),
    70008: ("invalid_grant", Reason.TOKEN_EXPIRED, "The code or refresh token has expired."),
    54005: ("invalid_grant", Reason.REVOKED, "The code was already redeemed."),
    50173: ("invalid_grant", Reason.REVOKED, "The grant was revoked; a fresh sign-in is needed."),
    700030: ("invalid_request", Reason.TOKEN_BINDING, "The key was not certified for this user in this tenant."),
    # Device code (RFC 8628 §3.5)
    70016: ("authorization_pending", Reason.INTERACTION_REQUIRED, "The user has not finished signing in."),
    70017: ("slow_down", Reason.FLOOD, "The client polls too often."),
    70018: ("invalid_grant", Reason.LOGIN_FAILED, "The code is not known."),
    70020: ("expired_token", Reason.TOKEN_EXPIRED, "The device code has expired."),
    70019: ("access_denied", Reason.LOGIN_FAILED, "The user declined the sign-in."),
    # The sign-in
    50034: ("invalid_grant", Reason.LOGIN_FAILED, "The user account does not exist."),
    50057: ("invalid_grant", Reason.LOGIN_FAILED, "The user account is disabled."),
    50126: ("invalid_grant", Reason.LOGIN_FAILED, "The user name or password is wrong."),
    50053: ("invalid_grant", Reason.LOGIN_FAILED, "The account is locked: too many wrong passwords. Try again later."),
    50058: ("login_required", Reason.SIGNED_OUT, "No session was found, and no page may be shown."),
    50014: ("interaction_required", Reason.INTERACTION_REQUIRED, "The guest has not accepted the invitation yet."),
    50020: ("access_denied", Reason.TENANT_UNKNOWN, "The external account does not exist in the tenant."),
    50105: ("access_denied", Reason.APPLICATION_NOT_ASSIGNED, "The user is not assigned to the application."),
    65004: ("access_denied", Reason.LOGIN_FAILED, "The user declined to consent."),
    65001: ("interaction_required", Reason.INTERACTION_REQUIRED, "The user has not consented to the application."),
    90094: ("interaction_required", Reason.INTERACTION_REQUIRED, "An administrator has to consent to the application."),
    # Between tenants
    500212: ("access_denied", Reason.HOME_OUTBOUND, "The home tenant's policy does not let the user into the tenant."),
    500213: ("access_denied", Reason.RESOURCE_INBOUND, "The tenant's cross-tenant access policy keeps the user out."),
    500021: ("access_denied", Reason.TENANT_RESTRICTED, "The network does not permit access to the tenant."),
    500022: ("access_denied", Reason.TENANT_RESTRICTED, "The tenant is not in the list of permitted tenants."),
    5000211: ("access_denied", Reason.TENANT_RESTRICTED, "The network's tenant restrictions forbid the access."),
    90038: ("invalid_request", Reason.CLOUD_FORBIDDEN, "The tenant is in a cloud that does not accept the account's."),
    1000104: ("access_denied", Reason.CLOUD_FORBIDDEN, "The home tenant does not allow the tenant's cloud."),
    90071: ("access_denied", Reason.RESOURCE_INBOUND, "The tenant has to accept multifactor authentication at home."),
    # Conditional Access
    50076: ("interaction_required", Reason.INTERACTION_REQUIRED, "A policy asks for multifactor authentication."),
    50079: ("interaction_required", Reason.INTERACTION_REQUIRED, "A second factor has to be registered first."),
    50078: ("interaction_required", Reason.INTERACTION_REQUIRED, "The multifactor authentication is too long ago."),
    50074: ("interaction_required", Reason.INTERACTION_REQUIRED, "The second factor was not given."),
    50155: ("interaction_required", Reason.INTERACTION_REQUIRED, "The device's proof does not hold."),
    50097: ("interaction_required", Reason.INTERACTION_REQUIRED, "A device has to prove itself."),
    50142: ("access_denied", Reason.CONDITIONAL_ACCESS, "A policy asks for a new password."),
    50158: ("interaction_required", Reason.INTERACTION_REQUIRED, "Terms of use or another control are not met yet."),
    53000: ("interaction_required", Reason.CONDITIONAL_ACCESS, "The device is not known to be compliant."),
    53001: ("interaction_required", Reason.CONDITIONAL_ACCESS, "The device is not known to be hybrid joined."),
    53002: ("access_denied", Reason.CONDITIONAL_ACCESS, "The application is not an approved client."),
    53003: ("access_denied", Reason.CONDITIONAL_ACCESS, "Access is blocked by a Conditional Access policy."),
    53004: ("access_denied", Reason.CONDITIONAL_ACCESS, "No second factor may be registered in a risky sign-in."),
    53009: ("access_denied", Reason.CONDITIONAL_ACCESS, "The application is not under an app protection policy."),
    53010: ("access_denied", Reason.CONDITIONAL_ACCESS, "Security information may not be registered from here."),
    53011: ("access_denied", Reason.CONDITIONAL_ACCESS, "The user is blocked because of risk in the home tenant."),
    70043: ("invalid_grant", Reason.INTERACTION_REQUIRED, "The sign-in is older than a policy allows."),
    # Another identity provider vouches
    50107: ("access_denied", Reason.LOGIN_FAILED, "The requested federation does not exist in the tenant."),
    50008: ("access_denied", Reason.LOGIN_FAILED, "The token of the identity provider is missing or not valid."),
    40010: ("temporarily_unavailable", Reason.IDP_UNREACHABLE, "The identity provider cannot be reached."),
    5000819: ("access_denied", Reason.LOGIN_FAILED, "The email address is missing or not in the federation's domains."),
    # Pages and servers
    90013: ("invalid_request", Reason.MALFORMED_REQUEST, "The page is out of date. Start again."),
    90024: ("temporarily_unavailable", Reason.IDP_UNREACHABLE, "The state cannot be reached for now. Try again soon."),
    90033: ("temporarily_unavailable", Reason.FLOOD, "Too many sign-ins at once. Try again later."),
    90090: ("server_error", Reason.INTERNAL_ERROR, "An unexpected error happened."),
}


def refusal(code: int, sentence: str | None = None, *, reason: Reason | None = None) -> Refusal:
    """Return the refusal of `code`; a more precise sentence or reason may replace the table's."""
    error, usual_reason, usual_sentence = _TABLE[code]
    return Refusal(code, error, sentence or usual_sentence, reason or usual_reason)
