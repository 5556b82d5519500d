"""Clouds that are kept apart: a tenant of one reaches a tenant of another only where both have said so, twice.

Each side names the other's cloud in `allowedCloudEndpoints` and adds the other tenant as a partner; naming the cloud
alone leaves everything in it blocked (Microsoft Entra External ID: Microsoft cloud settings).
"""

from __future__ import annotations

from dataclasses import dataclass

from tunneld.policy.directory import Tenant
from tunneld.policy.refusals import Refusal, refusal

COMMERCIAL = "microsoftonline.com"
GOVERNMENT = "microsoftonline.us"
CHINA = "partner.microsoftonline.cn"
CLOUDS = (COMMERCIAL, GOVERNMENT, CHINA)
_ALIASES = {"microsoftonline.cn": CHINA}


@dataclass(frozen=True, slots=True)
class CloudFinding:
    """One side's answer: whose setting, what it says, and the refusal if that is no."""

    tenant: Tenant
    rule: str
    setting: str = "allowedCloudEndpoints"
    refusal: Refusal | None = None


def canonical_cloud(name: str) -> str:
    """Return the endpoint name that Graph uses for a cloud."""
    lowered = name.strip().lower()
    return _ALIASES.get(lowered, lowered)


def same_cloud(one: Tenant, other: Tenant) -> bool:
    """Tell whether two tenants live in one cloud."""
    return canonical_cloud(one.cloud) == canonical_cloud(other.cloud)


def judge_clouds(home: Tenant, resource: Tenant, *, direct_connect: bool) -> list[CloudFinding]:
    """Return what both sides say about a sign-in between clouds, home first; the first refusal is the last entry.

    What home withholds is 1000104, what the visited tenant withholds 90038: a choice for the cases that the published
    codes do not tell apart.
    """
    pair = {canonical_cloud(home.cloud), canonical_cloud(resource.cloud)}
    if pair == {GOVERNMENT, CHINA}:
        return [_refused(resource, 90038, "These two clouds do not work together.")]
    if direct_connect:
        return [_refused(resource, 90038, "B2B direct connect does not work between clouds.")]
    findings: list[CloudFinding] = []
    for own, other, code in ((home, resource, 1000104), (resource, home, 90038)):
        settings, cloud = own.policy.cross_tenant, canonical_cloud(other.cloud)
        if cloud not in settings.allowed_clouds:
            return [*findings, _refused(own, code, f"{own.display_name} does not allow the cloud {cloud}.")]
        if other.id not in settings.partners:
            sentence = f"{own.display_name} does not list {other.display_name} as a partner in another cloud."
            return [*findings, _refused(own, code, sentence, "partners")]
        findings.append(CloudFinding(own, f"{cloud} allowed, and {other.id} is a partner"))
    return findings


def _refused(tenant: Tenant, code: int, sentence: str, setting: str = "allowedCloudEndpoints") -> CloudFinding:
    return CloudFinding(tenant, f"AADSTS{code}", setting, refusal(code, sentence))
