"""Device objects of a tenant, and what a sign-in may say of a device that proved itself (Graph reference: device)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, StringConstraints

from tunneld.policy.directory import Directory
from tunneld.policy.facts import DeviceFacts
from tunneld.policy.objects import GraphObject, ObjectKind

DEVICE = "device"
HYBRID_JOINED = "ServerAd"  # Graph's word for a device joined to a local directory and known to this one


def _canonical_guid(text: str) -> str:
    return str(UUID(text))


Guid = Annotated[str, StringConstraints(max_length=40), AfterValidator(_canonical_guid)]
Short = Annotated[str, StringConstraints(max_length=256)]


class ExtensionAttributes(GraphObject):
    """Fifteen free texts that a device filter may name."""

    extension_attribute1: Short | None = None
    extension_attribute2: Short | None = None
    extension_attribute3: Short | None = None
    extension_attribute4: Short | None = None
    extension_attribute5: Short | None = None
    extension_attribute6: Short | None = None
    extension_attribute7: Short | None = None
    extension_attribute8: Short | None = None
    extension_attribute9: Short | None = None
    extension_attribute10: Short | None = None
    extension_attribute11: Short | None = None
    extension_attribute12: Short | None = None
    extension_attribute13: Short | None = None
    extension_attribute14: Short | None = None
    extension_attribute15: Short | None = None


class Device(GraphObject):
    """A registered, joined or hybrid-joined device. Compliance is said by whoever manages it: here, by a PATCH."""

    id: Guid
    device_id: Guid | None = None
    display_name: Short = ""
    account_enabled: bool = True
    operating_system: Short = ""
    operating_system_version: Short = ""
    trust_type: Literal["Workplace", "AzureAd", "ServerAd"] = "Workplace"
    is_compliant: bool | None = None
    is_managed: bool | None = None
    manufacturer: Short | None = None
    model: Short | None = None
    profile_type: Short | None = "RegisteredDevice"
    device_ownership: Literal["company", "personal", "unknown"] | None = None
    mdm_app_id: Guid | None = None
    extension_attributes: ExtensionAttributes | None = None
    registered_owner: Guid | None = None  # object id of the user who registered it
    registration_date_time: Annotated[str, StringConstraints(max_length=40)] | None = None
    approximate_last_sign_in_date_time: Annotated[str, StringConstraints(max_length=40)] | None = None


def _put(directory: Directory, tenant_id: str, values: Mapping[str, GraphObject | None]) -> Directory:
    del tenant_id, values  # decisions read the objects themselves
    return directory


DEVICE_KIND = ObjectKind(DEVICE, Device, _put)


def device_facts(directory: Directory, tenant_id: str, device_id: str | None) -> DeviceFacts | None:
    """Return what the home tenant says of a device now; None when it has no such device, or has disabled it."""
    tenant = directory.tenants.get(tenant_id)
    device = tenant.object(DEVICE, device_id) if tenant is not None and device_id else None
    if not isinstance(device, Device) or not device.account_enabled:
        return None
    return DeviceFacts(
        device.id, tenant_id, device.display_name, device.operating_system, compliant=device.is_compliant is True,
        hybrid_joined=device.trust_type == HYBRID_JOINED, attributes=_attributes(device),
    )


def _attributes(device: Device) -> dict[str, str]:
    """Return the properties that a filter for devices may name, as text; booleans are `True` and `False` there."""
    shown: dict[str, object] = {
        "deviceId": device.device_id or device.id, "displayName": device.display_name,
        "operatingSystem": device.operating_system, "operatingSystemVersion": device.operating_system_version,
        "trustType": device.trust_type, "isCompliant": device.is_compliant is True,
        "manufacturer": device.manufacturer, "model": device.model, "profileType": device.profile_type,
        "deviceOwnership": {"company": "Company", "personal": "Personal"}.get(device.device_ownership or ""),
        "mdmAppId": device.mdm_app_id,
    }
    if device.extension_attributes is not None:
        shown |= device.extension_attributes.to_json()
    return {name: str(value) for name, value in shown.items() if value is not None and value != ""}
