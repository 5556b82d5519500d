"""What a guest's object is called in the directory that it visits."""

from __future__ import annotations

from collections.abc import Collection

MARK = "#EXT#"
MAX_NAME = 113  # Microsoft Entra service limits: a user name has at most 64 characters before the @ and 48 after it


def guest_principal_name(address: str, domain: str, taken: Collection[str]) -> str:
    """Return the user principal name of a guest: `user@contoso.com` becomes `user_contoso.com#EXT#@<domain>`.

    The name says nothing reliable: it can be changed, and two addresses may give the same one. A number in front of
    the mark keeps them apart, the lowest that is free, so that equal directories give equal names. `taken` are the
    names in use, in lower case.
    """
    stem = address.replace("@", "_")
    number = 1
    while True:
        mark = MARK if number == 1 else f"_{number}{MARK}"
        name = f"{stem[: MAX_NAME - len(mark) - len(domain) - 1]}{mark}@{domain}"
        if name.lower() not in taken:
            return name
        number += 1


def default_display_name(address: str) -> str:
    """Return the name of a guest for whom nobody gave one: what stands before the @."""
    return address.partition("@")[0]
