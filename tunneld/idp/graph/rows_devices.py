"""The row of devices (Microsoft Graph reference: device). They come into being by registering themselves."""

from __future__ import annotations

from tunneld.idp.graph.resource import Activities, Permissions, ResourceType, Verb

DEVICES = ResourceType(
    kind="device", collection="/devices",
    permissions=Permissions(
        "microsoft.directory/devices/standard/read", "", "microsoft.directory/devices/basic/update",
        "microsoft.directory/devices/delete",
    ),
    audit=Activities(
        "Device", "Add device", "Update device", "Delete device", "Device", "Core Directory",
    ),
    verbs=frozenset({Verb.LIST, Verb.GET, Verb.UPDATE, Verb.DELETE}),
    read_only=frozenset({
        "id", "deviceId", "registeredOwner", "registrationDateTime", "approximateLastSignInDateTime",
    }),
)
