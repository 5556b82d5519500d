"""One `Reason` for every refusal, end and verdict, shared by the daemon, the edge and the identity provider.

A reason's value is a stable name (logs, JSON, `proxy-status` details). Its `Kind` decides how each protocol says
it: SOCKS reply, HTTP status, HTTP/2 reset code and DNS rcode are derived from the kind in the codec that speaks
that protocol, so a new reason costs one line here and nothing elsewhere.
"""

from __future__ import annotations

from enum import Enum, StrEnum


class Kind(Enum):
    """What a reason means to a client that knows only its own protocol's vocabulary."""

    OK = "ok"
    DENIED = "denied"  # policy says no; asking again changes nothing
    UNAUTHENTICATED = "unauthenticated"  # no usable credential
    STEP_UP = "step_up"  # a better credential would be accepted
    REFUSED = "refused"  # the destination answered with a reset
    UNREACHABLE = "unreachable"  # no route, no name, no edge
    TIMEOUT = "timeout"
    RESET = "reset"  # an established stream broke
    LIMIT = "limit"  # a cap of ours; later it may work
    MALFORMED = "malformed"  # the peer's bytes are wrong
    UNSUPPORTED = "unsupported"  # well formed, not offered
    INTERNAL = "internal"  # a defect of ours


class Reason(StrEnum):
    """Every reason, as `name = value, kind, sentence`."""

    kind: Kind
    sentence: str

    def __new__(cls, value: str, kind: Kind, sentence: str) -> Reason:
        member = str.__new__(cls, value)
        member._value_ = value
        member.kind = kind
        member.sentence = sentence
        return member

    # Verdicts of the classifier
    RULE_TUNNEL = "rule_tunnel", Kind.OK, "A rule of the active profile sends this destination through the tunnel."
    RULE_BYPASS = "rule_bypass", Kind.OK, "A rule of the active profile sends this destination direct."
    RULE_BLOCK = "rule_block", Kind.DENIED, "A rule of the active profile blocks this destination."
    NO_RULE = "no_rule", Kind.OK, "No rule matches, so the flow goes direct."
    NO_PROFILE = "no_profile", Kind.OK, "No forwarding profile is active, so the flow goes direct."
    HARDENING_BLOCK = "hardening_block", Kind.UNREACHABLE, "The edge is unreachable and the rule's hardening is block."
    HARDENING_BYPASS = "hardening_bypass", Kind.OK, "The edge is unreachable and the rule's hardening is bypass."
    FORBIDDEN_DESTINATION = (
        "forbidden_destination", Kind.DENIED,
        "Loopback, link-local, metadata and our own addresses are never a destination.",
    )

    # Sessions, tokens and certificates
    NO_SESSION = "no_session", Kind.UNAUTHENTICATED, "The tunnel has no accepted session yet."
    SIGNED_OUT = "signed_out", Kind.UNAUTHENTICATED, "Nobody is signed in."
    TOKEN_MISSING = "token_missing", Kind.UNAUTHENTICATED, "The request carries no token."
    TOKEN_MALFORMED = "token_malformed", Kind.UNAUTHENTICATED, "The token is not a well-formed signed JWT."
    TOKEN_TOO_LARGE = "token_too_large", Kind.UNAUTHENTICATED, "The token is larger than 12 KiB."
    TOKEN_ALGORITHM = "token_algorithm", Kind.UNAUTHENTICATED, "The token's algorithm is not accepted."
    TOKEN_KEY_UNKNOWN = "token_key_unknown", Kind.UNAUTHENTICATED, "The token names a key that the issuer does not publish."
    TOKEN_SIGNATURE = "token_signature", Kind.UNAUTHENTICATED, "The token's signature does not verify."
    TOKEN_ISSUER = "token_issuer", Kind.UNAUTHENTICATED, "The token comes from another issuer."
    TOKEN_TENANT = "token_tenant", Kind.DENIED, "The token belongs to another tenant."
    TOKEN_AUDIENCE = "token_audience", Kind.UNAUTHENTICATED, "The token was issued for another audience."
    TOKEN_EXPIRED = "token_expired", Kind.UNAUTHENTICATED, "The token has expired."
    TOKEN_NOT_YET_VALID = "token_not_yet_valid", Kind.UNAUTHENTICATED, "The token is not valid yet; a clock may be wrong."
    TOKEN_LIFETIME = "token_lifetime", Kind.UNAUTHENTICATED, "The token's lifetime is absurd."
    TOKEN_TYPE = "token_type", Kind.UNAUTHENTICATED, "The token is not an access token."
    TOKEN_ACTOR = "token_actor", Kind.DENIED, "The token was issued to a client that may not use this edge."
    TOKEN_SCOPE = "token_scope", Kind.DENIED, "The token lacks the scope for this use."
    TOKEN_SUBJECT = "token_subject", Kind.DENIED, "The token belongs to another user than the tunnel."
    TOKEN_BINDING = "token_binding", Kind.UNAUTHENTICATED, "The token is bound to another key than the tunnel's certificate."
    TOKEN_REF_UNKNOWN = "token_ref_unknown", Kind.UNAUTHENTICATED, "The flow names a token that the session has not had accepted."
    CERTIFICATE_MISSING = "certificate_missing", Kind.UNAUTHENTICATED, "No client certificate was presented."
    CERTIFICATE_REFUSED = "certificate_refused", Kind.UNAUTHENTICATED, "The client certificate was refused."
    CERTIFICATE_EXPIRED = "certificate_expired", Kind.UNAUTHENTICATED, "The certificate has expired."
    CERTIFICATE_TENANT = "certificate_tenant", Kind.DENIED, "The client certificate belongs to another tenant."
    CERTIFICATE_INVALID = "certificate_invalid", Kind.UNREACHABLE, "The edge's certificate does not verify."
    INSUFFICIENT_CLAIMS = "insufficient_claims", Kind.STEP_UP, "The application asks for a stronger sign-in."
    INTERACTION_REQUIRED = "interaction_required", Kind.STEP_UP, "The tenant needs the user to answer a page."
    LOGIN_FAILED = "login_failed", Kind.UNAUTHENTICATED, "The identity provider refused the sign-in."
    IDP_UNREACHABLE = "idp_unreachable", Kind.UNREACHABLE, "The identity provider cannot be reached."

    # Authorization
    PROFILE_NOT_ASSIGNED = "profile_not_assigned", Kind.DENIED, "The forwarding profile is not assigned to this user."
    APPLICATION_NOT_ASSIGNED = "application_not_assigned", Kind.DENIED, "The application is not assigned to this user."
    DESTINATION_NOT_IN_APPLICATION = (
        "destination_not_in_application", Kind.DENIED, "The token's application does not own this destination.",
    )
    CHANNEL_NOT_OFFERED = "channel_not_offered", Kind.DENIED, "The edge does not offer this channel."
    PROFILE_INVALID = "profile_invalid", Kind.UNREACHABLE, "The tenant's forwarding profile is unusable."
    REVOKED = "revoked", Kind.DENIED, "Access was revoked."

    # Tenants and switching
    GUEST_ACCESS_DISABLED = "guest_access_disabled", Kind.DENIED, "External user access is switched off on this machine."
    HOME_OUTBOUND = "home_outbound", Kind.DENIED, "The home tenant's cross-tenant access settings keep the user from going there."
    RESOURCE_INBOUND = "resource_inbound", Kind.DENIED, "The tenant's cross-tenant access settings keep the user out."
    CONDITIONAL_ACCESS = "conditional_access", Kind.DENIED, "A Conditional Access policy of the tenant keeps the user out."
    TENANT_RESTRICTED = "tenant_restricted", Kind.DENIED, "Tenant restrictions on this network forbid the account, the tenant or the application."
    CLOUD_FORBIDDEN = "cloud_forbidden", Kind.DENIED, "The two tenants are in clouds that do not work together."
    TENANT_UNKNOWN = "tenant_unknown", Kind.DENIED, "No such tenant is offered to this user."
    FLOW_UNKNOWN = "flow_unknown", Kind.DENIED, "No such flow is live or among the last closed ones."
    SWITCH_IN_PROGRESS = "switch_in_progress", Kind.LIMIT, "Another switch is in progress."
    PROBE_FAILED = "probe_failed", Kind.UNREACHABLE, "The probe through the new tunnel failed."
    PREPARE_TIMEOUT = "prepare_timeout", Kind.TIMEOUT, "Preparing the target tenant took too long."
    TENANT_SWITCHED = "tenant_switched", Kind.RESET, "The flow belonged to the tenant that was switched away from."
    RULE_REMOVED = "rule_removed", Kind.RESET, "The rule that carried the flow changed or was removed."

    # The tunnel and the network
    EDGE_UNREACHABLE = "edge_unreachable", Kind.UNREACHABLE, "The edge cannot be reached."
    EDGE_LOST = "edge_lost", Kind.RESET, "The connection to the edge broke."
    EDGE_DRAINING = "edge_draining", Kind.LIMIT, "The edge is draining and takes no new flows."
    PING_TIMEOUT = "ping_timeout", Kind.RESET, "The edge stopped answering liveness probes."
    ORIGIN_REFUSED = "origin_refused", Kind.REFUSED, "The destination refused the connection."
    ORIGIN_UNREACHABLE = "origin_unreachable", Kind.UNREACHABLE, "The destination cannot be reached."
    ORIGIN_TIMEOUT = "origin_timeout", Kind.TIMEOUT, "The destination did not answer in time."
    ORIGIN_RESET = "origin_reset", Kind.RESET, "The destination reset the connection."
    ORIGIN_PROTOCOL = "origin_protocol", Kind.RESET, "The destination's answer breaks HTTP."
    CLIENT_RESET = "client_reset", Kind.RESET, "The application reset the connection."
    NAME_NOT_RESOLVED = "name_not_resolved", Kind.UNREACHABLE, "The name has no usable address."
    HALF_CLOSE_TIMEOUT = "half_close_timeout", Kind.TIMEOUT, "One side closed and the other stayed silent too long."

    # Limits and bad input
    TOO_MANY_FLOWS = "too_many_flows", Kind.LIMIT, "The limit of concurrent flows is reached."
    HANDSHAKE_TIMEOUT = "handshake_timeout", Kind.TIMEOUT, "The client did not finish its request in time."
    MALFORMED_REQUEST = "malformed_request", Kind.MALFORMED, "The request breaks its protocol."
    NAME_TOO_LONG = "name_too_long", Kind.MALFORMED, "The name is longer than 255 bytes."
    NAME_INVALID = "name_invalid", Kind.MALFORMED, "The name is not a valid host name."
    PORT_INVALID = "port_invalid", Kind.MALFORMED, "The port is not a number from 1 to 65535."
    UNSUPPORTED_COMMAND = "unsupported_command", Kind.UNSUPPORTED, "The command is not offered."
    UNSUPPORTED_PROTOCOL = "unsupported_protocol", Kind.UNSUPPORTED, "The protocol is not offered."
    UNSUPPORTED_ADDRESS = "unsupported_address", Kind.UNSUPPORTED, "The address type is not offered."
    PROXY_AUTH_REQUIRED = "proxy_auth_required", Kind.UNAUTHENTICATED, "This proxy asks for a user name and password."
    FLOOD = "flood", Kind.LIMIT, "The peer sends control frames faster than any honest one."
    FLOW_CONTROL = "flow_control", Kind.MALFORMED, "The peer sent more than its window allows."

    # Ends
    COMPLETED = "completed", Kind.OK, "Both sides closed in order."
    SHUTDOWN = "shutdown", Kind.LIMIT, "The program is stopping."
    INTERNAL_ERROR = "internal_error", Kind.INTERNAL, "A defect of ours; the log has the trace."


_BY_NAME: dict[str, Reason] = {reason.value: reason for reason in Reason}


def reason_named(name: str | None) -> Reason | None:
    """Return the reason whose stable name is `name`, or None: peers may be newer or foreign."""
    return _BY_NAME.get(name) if name is not None else None
