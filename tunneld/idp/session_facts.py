"""What a decision gets to see of a request: where it comes from, and what its session has proved.

Addresses and risk are taken from the connection. Two settings of the provider open other sources: `trusted_proxies`
lets a reverse proxy name the client, and `trust_simulation_headers` lets tests name place and risk.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from starlette.requests import Request

from tunneld.idp.credentials import kinds_of
from tunneld.idp.evidence import HOME, Proved, accepted_terms, proved
from tunneld.idp.provider import Provider
from tunneld.idp.settings import IdpSettings
from tunneld.idp.store import Session
from tunneld.idp.terms import in_force
from tunneld.policy.devices import device_facts
from tunneld.policy.directory import Client, ObjectKey, Tenant
from tunneld.policy.facts import MethodUse, Restrictions, SessionFacts, Surroundings

_LEVELS = frozenset({"none", "low", "medium", "high"})
# Words of a User-Agent or of Sec-CH-UA-Platform, the more telling ones first: Android says Linux, too.
_PLATFORMS = (
    ("android", "android"), ("iphone", "iOS"), ("ipad", "iOS"), ("ios", "iOS"), ("windows phone", "windowsPhone"),
    ("windows", "windows"), ("mac os", "macOS"), ("macos", "macOS"), ("linux", "linux"),
)
MAX_HEADER = 512  # what is kept of an unverified header


async def facts_of(provider: Provider, request: Request, session: Session, tenant: Tenant) -> SessionFacts:
    """Return what a session has proved so far, as `tenant` may see it."""
    found = await proved(provider.database, session.id)
    if not found.methods:  # a session from before methods were recorded: there were passwords only
        found = Proved(((HOME, MethodUse("password", session.authenticated_at)),), found.device_id)
    return await _facts(provider, request, session.account, tenant, found)


async def first_facts(
    provider: Provider, request: Request, account: ObjectKey, tenant: Tenant, found: Proved
) -> SessionFacts:
    """Return the same for a sign-in that has no session yet: a method was used just now."""
    return await _facts(provider, request, account, tenant, found)


def owner_at(provider: Provider, account: ObjectKey, tenant: Tenant) -> ObjectKey | None:
    """Return the object that owns what an account registers in a tenant; None when it has none there."""
    user = provider.directory.presence(tenant, account)
    return (tenant.id, user.oid) if user is not None else None


async def _facts(
    provider: Provider, request: Request, account: ObjectKey, tenant: Tenant, found: Proved
) -> SessionFacts:
    there = owner_at(provider, account, tenant)
    kinds = await kinds_of(provider.database, tuple({account, *([there] if there else [])}))
    terms = await accepted_terms(provider.database, there) if there and tenant.objects.get("agreement") else frozenset()
    user_risk, sign_in_risk = _risks(request, provider.settings)
    return SessionFacts(
        home=found.at(HOME), resource=found.at(tenant.id), registered_home=kinds[account],
        registered_resource=kinds[there] if there else frozenset(),
        device=device_facts(provider.directory, account[0], found.device_id),
        terms_accepted=in_force(tenant, terms), user_risk=user_risk, sign_in_risk=sign_in_risk,
    )


def surroundings(
    request: Request, settings: IdpSettings, client: Client, *, contexts: tuple[str, ...] = (), user_action: str = "",
    interactive: bool = True,
) -> Surroundings:
    """Return the request around a sign-in. Platform and kind of client are what the client says of itself."""
    return Surroundings(
        address=client_address(request, settings), country=_simulated(request, settings, "country")[:2].upper(),
        platform=_platform(request), client_app=_client_app(client), interactive=interactive, contexts=contexts,
        user_action=user_action, restrictions=_restrictions(request),
    )


def client_address(request: Request, settings: IdpSettings) -> str:
    """Return the client's address: the peer's, or what proxies that the settings trust say, from the right."""
    simulated = _address(_simulated(request, settings, "address"))
    if simulated:
        return simulated
    address = _address(request.client.host if request.client else "")
    named = [part.strip() for value in request.headers.getlist("x-forwarded-for") for part in value.split(",")]
    while named and _trusted(address, settings):
        before = _address(named.pop())
        if not before:
            break
        address = before
    return address


def _address(text: str) -> str:
    try:
        return str(ip_address(text)) if text else ""
    except ValueError:
        return ""


def _trusted(address: str, settings: IdpSettings) -> bool:
    return bool(address) and any(ip_address(address) in ip_network(net) for net in settings.trusted_proxies)


def _simulated(request: Request, settings: IdpSettings, what: str) -> str:
    return request.headers.get(f"x-simulated-{what}", "")[:MAX_HEADER] if settings.trust_simulation_headers else ""


def _risks(request: Request, settings: IdpSettings) -> tuple[str, str]:
    """Return (user risk, sign-in risk) of `x-simulated-risk: user=high, sign-in=low`."""
    levels = {"user": "none", "sign-in": "none"}
    for part in _simulated(request, settings, "risk").split(","):
        name, _, level = part.strip().partition("=")
        if name in levels and level in _LEVELS:
            levels[name] = level
    return levels["user"], levels["sign-in"]


def _platform(request: Request) -> str:
    said = request.headers.get("sec-ch-ua-platform") or request.headers.get("user-agent", "")
    text = said[:MAX_HEADER].lower()
    return next((platform for word, platform in _PLATFORMS if word in text), "")


def _client_app(client: Client) -> str:
    """Return Graph's `clientAppTypes` word: web applications have https redirects, programs on a machine do not."""
    web = any(uri.startswith("https://") for uri in client.redirect_uris)
    return "browser" if web else "mobileAppsAndDesktopClients"


def _restrictions(request: Request) -> Restrictions:
    headers = request.headers
    listed = headers.getlist("restrict-access-to-tenants")
    # Of two lists one was written by the client ahead of its network's proxy: nobody is on both, so nobody is listed.
    tenants = listed[0] if len(listed) == 1 else "" if listed else None
    return Restrictions(
        tenants, headers.get("restrict-access-context"),
        tuple(headers.getlist("sec-restrict-tenant-access-policy")),
    )
