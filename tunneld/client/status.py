"""What the daemon says about itself: computed from the channels that the active profile expects, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tunneld.client.identity import Identity
from tunneld.client.live import LiveState
from tunneld.client.ports import Tunnel
from tunneld.client.tenants import Discovery, Profiles
from tunneld.forwarding.compile import CompiledProfile
from tunneld.forwarding.document import Application
from tunneld.journal.timestamps import rfc3339
from tunneld.session.lifecycle import ChannelState, daemon_state


class Check(NamedTuple):
    """One thing that a flow depends on."""

    check: str
    ok: bool
    detail: str


def status(live: LiveState, identity: Identity, discovery: Discovery, profiles: Profiles) -> dict[str, Any]:
    """Return the public status."""
    session = live.current
    account = identity.account
    states = {channel: ChannelState(tunnel.state) for channel, tunnel in session.channels.items()}
    profile = session.profile
    known = discovery.tenants()  # it may have learnt the display name after the session was made
    age = profiles.age_s(session.tenant_id) if session.tenant_id else None
    return {
        "state": daemon_state(signed_in=account is not None, channels=states).value,
        "organization": next((t.display_name for t in known if t.id == session.tenant_id), session.organization),
        "home": discovery.home().name if account else discovery.home_name,
        "tenant": session.tenant,
        "tenant_id": session.tenant_id,
        "epoch": session.epoch,
        "user": account.username if account else None,
        "channels": {channel.value: _channel(tunnel) for channel, tunnel in session.channels.items()},
        "flows": len(live.flows.live),
        "step_up": _waiting(live, identity),
        "profile": None if profile is None else {"id": profile.id, "version": profile.version, "age_s": _rounded(age)},
    }


def tenants(live: LiveState, discovery: Discovery, now: float) -> dict[str, Any]:
    """Return the tenants that may be switched to, and how old that knowledge is."""
    refreshed = discovery.refreshed_at
    return {
        "tenants": [
            {**tenant.to_json(), "active": tenant.id == live.current.tenant_id} for tenant in discovery.tenants()
        ],
        "guest_access_enabled": discovery.guest_access,
        "refreshed_at": None if refreshed is None else rfc3339(refreshed),
        "age_s": None if refreshed is None else _rounded(now - refreshed),
    }


def health(live: LiveState, identity: Identity, now: float) -> dict[str, Any]:
    """Return the checks in the order in which to mend them: later ones depend on earlier ones."""
    checks = list(_checks(live, identity, now))
    return {
        "healthy": all(check.ok for check in checks),
        "checks": [check._asdict() for check in checks],
        "token_key": identity.key_source,
    }


def _checks(live: LiveState, identity: Identity, now: float) -> Iterator[Check]:
    session, account = live.current, identity.account
    yield Check("signed_in", account is not None, account.username if account else "run `tunneld login`")
    if account is None or session.tenant_id is None:
        return
    profile = session.profile
    if profile is not None:
        yield Check("profile", ok=True, detail=f"{profile.id} version {profile.version}")
    elif session.home:
        yield Check("profile", ok=True, detail="the home tenant has none, so everything goes direct")
    else:
        yield Check("profile", ok=False, detail="the tenant's profile was never fetched")
    if session.channels:
        expires = identity.credentials(session.tenant_id).certificate_expires_at
        good = expires is not None and expires > now
        yield Check("certificate", good, f"until {rfc3339(expires)}" if expires is not None else "none was issued yet")
    for channel, tunnel in session.channels.items():
        reason = f" ({tunnel.reason.value})" if tunnel.reason else ""
        ok = tunnel.state == ChannelState.CONNECTED
        yield Check(f"channel {channel.value}", ok, f"{tunnel.edge.sni}: {tunnel.state}{reason}")


def application_named(profile: CompiledProfile | None, word: str) -> Application | None:
    """Return the application of the profile that has that id, or that name in any case."""
    known = profile.document.applications if profile is not None else ()
    named = [each for each in known if word in (each.id, each.name)]
    return next(iter(named or [each for each in known if word.lower() == each.name.lower()]), None)


def _waiting(live: LiveState, identity: Identity) -> list[dict[str, str]]:
    """Return the applications of the active tenant that a stronger sign-in would open, and how to begin it."""
    session = live.current
    if identity.account is None or session.tenant_id is None:
        return []
    found = []
    for each in identity.credentials(session.tenant_id).demands.waiting():
        application = application_named(session.profile, each.application)
        if application is not None:
            found.append({"application": application.id, "name": application.name, "reason": each.reason.value,
                          "detail": each.detail})
    return found


def _channel(tunnel: Tunnel) -> dict[str, Any]:
    return {
        "state": tunnel.state,
        "edge": f"{tunnel.edge.sni}:{tunnel.edge.port}",
        "since": rfc3339(tunnel.since),
        "reason": tunnel.reason.value if tunnel.reason else None,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
