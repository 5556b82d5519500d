"""The table of object kinds. A new kind is a module of its own and one line here."""

from __future__ import annotations

from tunneld.policy.conditional_access.kinds import CONDITIONAL_ACCESS_KINDS
from tunneld.policy.cross_tenant.compiling import CROSS_TENANT_KINDS
from tunneld.policy.deleted_objects import DELETED_KINDS
from tunneld.policy.devices import DEVICE_KIND
from tunneld.policy.directory_objects import DIRECTORY_KINDS
from tunneld.policy.federation.configuration import FEDERATION_CONFIGURATION
from tunneld.policy.federation.identity_provider import IDENTITY_PROVIDER
from tunneld.policy.guests.branding import ORGANIZATIONAL_BRANDING
from tunneld.policy.guests.governance import GOVERNANCE_KINDS
from tunneld.policy.guests.invitation_object import INVITATION
from tunneld.policy.guests.settings_objects import COLLABORATION_KINDS
from tunneld.policy.guests.sign_up import API_CONNECTOR, USER_FLOW
from tunneld.policy.guests.synchronization_job import SYNCHRONIZATION_KINDS
from tunneld.policy.objects import ObjectKind
from tunneld.policy.roles import ROLE_KINDS

# In the order in which they are compiled: what others refer to comes first.
_ALL: tuple[ObjectKind, ...] = (
    *DIRECTORY_KINDS,
    *CROSS_TENANT_KINDS,
    *CONDITIONAL_ACCESS_KINDS,
    FEDERATION_CONFIGURATION, IDENTITY_PROVIDER,
    *COLLABORATION_KINDS, INVITATION, ORGANIZATIONAL_BRANDING, API_CONNECTOR, USER_FLOW,
    *ROLE_KINDS, *DELETED_KINDS,
    DEVICE_KIND,
    *SYNCHRONIZATION_KINDS, *GOVERNANCE_KINDS,
)

KINDS: dict[str, ObjectKind] = {kind.name: kind for kind in _ALL}
