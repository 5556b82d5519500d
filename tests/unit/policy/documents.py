"""Small directories for the tables of this folder."""

from __future__ import annotations

import json
from typing import Any

from tunneld.policy.directory import AssignedProfile, Assignments, Directory
from tunneld.policy.directory_document import read_directory
from tunneld.policy.directory_links import link_directory
from tunneld.policy.passwords import hash_password

HOME = "11111111-1111-4111-8111-111111111111"
RESOURCE = "22222222-2222-4222-8222-222222222222"
ALEX, BOB, EVE = (f"aaaaaaaa-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
GUEST, PENDING, BLOCKED = (f"bbbbbbbb-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
STAFF = "dddddddd-0000-4000-8000-000000000001"
APP, LOCKED_APP = (f"eeeeeeee-0000-4000-8000-00000000000{n}" for n in (1, 2))
CHANNEL = "ffffffff-0000-4000-8000-000000000001"
HASH = hash_password("pw", salt=bytes(16), cost=(2, 1, 1))


def document() -> dict[str, Any]:
    return {
        "tenants": [
            {
                "id": HOME, "name": "home", "display_name": "Home", "domains": ["home.example"],
                "users": [
                    {"oid": ALEX, "upn": "Alex@home.example", "display_name": "Alex", "password_hash": HASH},
                    {"oid": BOB, "upn": "bob@home.example", "display_name": "Bob", "password_hash": HASH},
                    {"oid": EVE, "upn": "eve@home.example", "display_name": "Eve", "password_hash": HASH,
                     "state": "disabled"},
                ],
            },
            {
                "id": RESOURCE, "name": "resource", "display_name": "Resource", "domains": ["resource.example"],
                "applications": [
                    {"id": APP, "name": "App", "assignments": {"groups": ["staff"], "user_types": ["guest"]}},
                    {"id": LOCKED_APP, "name": "Locked"},
                ],
                "groups": [{"id": STAFF, "name": "Staff"}],
                "users": [
                    {"oid": GUEST, "upn": "alex_home.example#EXT#@resource.example", "display_name": "Alex",
                     "user_type": "guest", "home": {"tenant": "home.example", "oid": ALEX}, "groups": [STAFF]},
                    {"oid": PENDING, "upn": "bob_home.example#EXT#@resource.example", "display_name": "Bob",
                     "user_type": "guest", "home": {"tenant": "HOME", "oid": "bob@home.example"}, "state": "pending"},
                ],
            },
        ],
        "clients": [{"id": "99999999-0000-4000-8000-000000000001", "name": "Other"}],
    }


def link(raw: dict[str, Any], profiles: dict[str, list[AssignedProfile]] | None = None) -> Directory:
    return link_directory(read_directory(json.dumps(raw), where="d.json"), profiles or {}, where="d.json")


def profile(whom: Assignments, name: str = "p", audience: str = CHANNEL) -> AssignedProfile:
    return AssignedProfile(name, whom, {"private": audience})
