"""OpenID Connect as the relying party: what is asked, and what an answer and an ID token have to pass.

OpenID Connect Core §3.1, Discovery §4, RFC 7636 (PKCE), RFC 9207 (issuer in the response), RFC 9700.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from tunneld.model.errors import TokenError
from tunneld.policy.compact_token import CompactToken, strict_object, take_apart
from tunneld.policy.federation.compiled import TrustedProvider
from tunneld.policy.federation.configuration import https_url
from tunneld.policy.federation.vouched import MAX_TEXT, SKEW_S, FederationError, Vouched
from tunneld.policy.key_set import PublishedKey
from tunneld.policy.tokens import check_signature

MAX_AGE_S = 600  # an ID token of the code flow is made when it is fetched; older ones were kept by somebody
MAX_LIFETIME_S = 24 * 3600
# What a logout token, a security event or an access token has and an ID token never has (RFC 8725 §3.12).
_FOREIGN = ("events", "scp", "scope")


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """What the discovery document says, reduced to what is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    names_issuer: bool  # RFC 9207 §3
    secret_in_body: bool  # the provider does not take HTTP Basic from clients


def read_metadata(document: bytes, issuer: str) -> ProviderMetadata:
    """Return the metadata of `issuer`. Raises FederationError("metadata")."""
    try:
        found = strict_object(document)
    except TokenError as error:
        raise FederationError("metadata", error.detail) from None
    if found.get("issuer") != issuer:  # Discovery §4.3: identical, or somebody else's document was put there
        raise FederationError("metadata", "the issuer is not the configured one")
    urls = {}
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        value = found.get(name)
        try:
            urls[name] = https_url(value if isinstance(value, str) else "")
        except ValueError:
            raise FederationError("metadata", f"{name} is not an https URL") from None
    methods = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    listed = methods if isinstance(methods, list) else []
    return ProviderMetadata(
        issuer, urls["authorization_endpoint"], urls["token_endpoint"], urls["jwks_uri"],
        found.get("authorization_response_iss_parameter_supported") is True,
        "client_secret_basic" not in listed and "client_secret_post" in listed,
    )


def authorization_url(
    metadata: ProviderMetadata, trusted: TrustedProvider, *, redirect_uri: str, state: str, nonce: str, challenge: str,
    login_hint: str = "", multi_factor: bool = False,
) -> str:
    """Return where the browser is sent (RFC 6749 §4.1.1)."""
    fields = {
        "client_id": trusted.client_id, "response_type": "code", "redirect_uri": redirect_uri, "scope": trusted.scope,
        "state": state, "nonce": nonce, "code_challenge": challenge, "code_challenge_method": "S256",
    }
    if login_hint:
        fields["login_hint"] = login_hint
    if multi_factor:
        fields["acr_values"] = "mfa"
    url = metadata.authorization_endpoint
    return f"{url}{'&' if '?' in url else '?'}{urlencode(fields)}"


def code_of_answer(fields: Mapping[str, str], metadata: ProviderMetadata) -> str:
    """Return the code of a redirect back to us. Raises FederationError.

    A provider that names itself in its answers has to, so that a code of one is never sent to another (mix-up).
    """
    named = fields.get("iss")
    if named != metadata.issuer and (named is not None or metadata.names_issuer):
        raise FederationError("iss_parameter", "the answer comes from another provider")
    if "error" in fields:
        raise FederationError("declined", fields["error"][:64])
    code = fields.get("code", "")
    if not 1 <= len(code) <= 2048:
        raise FederationError("code")
    return code


def take_apart_id_token(text: str) -> CompactToken:
    """Return the parts of an ID token; its key id says which key to look up. Raises FederationError("form")."""
    try:
        return take_apart(text, untyped=True)
    except TokenError as error:
        raise FederationError("form", f"{error.reason}: {error.detail}") from None


def verify_id_token(
    token: CompactToken, key: PublishedKey, trusted: TrustedProvider, *, nonce: str, now: float
) -> Vouched:
    """Return the person that an ID token vouches for. Raises FederationError with the rule that it broke."""
    if token.key_id != key.key_id:
        raise FederationError("signature", "another key was looked up")
    if key.issuer is not None and key.issuer != trusted.issuer:
        raise FederationError("issuer", "the key is published for another issuer")
    try:
        check_signature(token, key)
    except TokenError:
        raise FederationError("signature") from None
    claims = token.claims
    if claims.get("iss") != trusted.issuer:
        raise FederationError("issuer")
    _check_audience(claims, trusted.client_id)
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
        raise FederationError("nonce")
    foreign = next((name for name in _FOREIGN if name in claims), None)
    if foreign is not None:
        raise FederationError("kind", f"{foreign} belongs to another kind of token")
    expires_at = _check_times(claims, now)
    email = _email(claims, trusted)
    return Vouched(
        trusted.issuer, _text(claims, "sub"), email, _optional_text(claims, "name"), _multi_factor(claims),
        _seconds(claims, "auth_time") if "auth_time" in claims else _seconds(claims, "iat"),
        f"{trusted.issuer} {nonce}", expires_at + SKEW_S,
    )


def _check_audience(claims: dict[str, object], client_id: str) -> None:
    """Core §3.1.3.7: us, and nobody else besides; `azp`, where it is, is us too."""
    audience = claims.get("aud")
    if audience not in (client_id, [client_id]) or claims.get("azp", client_id) != client_id:
        raise FederationError("audience")


def _check_times(claims: dict[str, object], now: float) -> int:
    expires_at, issued_at = _seconds(claims, "exp"), _seconds(claims, "iat")
    if now >= expires_at + SKEW_S:
        raise FederationError("expired")
    not_before = _seconds(claims, "nbf") if "nbf" in claims else issued_at
    if max(issued_at, not_before) > now + SKEW_S:
        raise FederationError("not_yet_valid")
    if now - issued_at > MAX_AGE_S or not 0 < expires_at - issued_at <= MAX_LIFETIME_S:
        raise FederationError("lifetime")
    return expires_at


def _email(claims: dict[str, object], trusted: TrustedProvider) -> str:
    """Return the address; a social provider has to have verified it, a federation must not say that it did not."""
    verified = claims.get("email_verified")
    if verified is False or (trusted.social and verified is not True):
        raise FederationError("email_verified")
    return _optional_text(claims, "email")


def _multi_factor(claims: dict[str, object]) -> bool:
    """RFC 8176 §2: `mfa` among the methods."""
    methods = claims.get("amr", [])
    return isinstance(methods, list) and "mfa" in methods


def _seconds(claims: dict[str, object], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 <= value < 1 << 40:
        raise FederationError("times", f"{name} is not a number of seconds")
    return value


def _text(claims: dict[str, object], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT:
        raise FederationError("claims", f"{name} is not a text of 1 to {MAX_TEXT} characters")
    return value


def _optional_text(claims: dict[str, object], name: str) -> str:
    return _text(claims, name) if claims.get(name) else ""
