"""The invitation as Microsoft Graph shapes it: what is asked for, and what is kept of it.

Microsoft Graph reference: invitation, invitedUserMessageInfo. Nothing redeems through the API; a person does, in a
browser. An invitation is kept until a later one to the same person takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, StringConstraints

from tunneld.policy.directory import Directory, Tenant
from tunneld.policy.guests.addresses import parse_address
from tunneld.policy.guests.settings_objects import Guid
from tunneld.policy.objects import GraphObject, ObjectKind

MAX_MESSAGE = 2_000  # characters of a personal message: a choice; the product names no limit
MAX_URL = 2_048  # what browsers and servers pass on without cutting

Status = Literal["PendingAcceptance", "Completed", "InProgress", "Error"]


def _address(text: str) -> str:
    address = parse_address(text)
    if address is None:
        raise ValueError("not a mail address that can be invited")
    return address


def printable(text: str) -> str:
    if any((ord(c) < 32 and c not in "\r\n\t") or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in text):
        raise ValueError("control characters")
    return text


def one_line(text: str) -> str:
    if any(character in text for character in "\r\n\t\v\f\u2028\u2029"):
        raise ValueError("more than one line")
    return printable(text)


def _redirect(text: str) -> str:
    """Accept where a browser may be sent: an absolute https URL, or http to this very machine."""
    if not text.isascii() or any(character <= " " or character in "\\<>\"\x7f" for character in text):
        raise ValueError("not an absolute URL in ASCII")
    parts = urlsplit(text)
    if not parts.hostname or parts.username is not None or parts.password is not None:
        raise ValueError("a URL has a host, and no user name or password")
    _ = parts.port  # raises ValueError beyond 65535
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("https only, except on this machine")
    return text


def is_loopback(host: str) -> bool:
    """Tell whether a host of a URL is this machine, by address or by its reserved name (RFC 6761 §6.3)."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


Address = Annotated[str, StringConstraints(max_length=320), AfterValidator(_address)]
Line = Annotated[str, StringConstraints(max_length=256), AfterValidator(one_line)]
RedirectUrl = Annotated[str, StringConstraints(max_length=MAX_URL), AfterValidator(_redirect)]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")]  # RFC 5646 §2.1
Message = Annotated[str, StringConstraints(max_length=MAX_MESSAGE), AfterValidator(printable)]


class EmailAddress(GraphObject):
    """A name and an address."""

    name: Line | None = None
    address: Address


class Recipient(GraphObject):
    """One recipient of a copy."""

    email_address: EmailAddress


def _at_most_one(found: tuple[Recipient, ...]) -> tuple[Recipient, ...]:
    if len(found) > 1:
        raise ValueError("a copy may go to one recipient only")
    return found


class InvitationMessage(GraphObject):
    """How the mail is worded. The language is kept and put into the mail's header; the words are English."""

    message_language: Language | None = None
    customized_message_body: Message | None = None
    cc_recipients: Annotated[tuple[Recipient, ...], AfterValidator(_at_most_one)] = ()


class InvitedUser(GraphObject):
    """A reference to the object of the invited person."""

    id: Guid


class InvitationRequest(GraphObject):
    """The body of POST /invitations. `application` is ours: the id of the workload through which somebody invites."""

    invited_user_email_address: Address
    invite_redirect_url: RedirectUrl
    invited_user_display_name: Line | None = None
    invited_user_type: Literal["Guest", "Member"] = "Guest"
    send_invitation_message: bool = False
    invited_user_message_info: InvitationMessage | None = None
    invited_user_sponsors: tuple[InvitedUser, ...] = ()
    invited_user: InvitedUser | None = None
    reset_redemption: bool = False
    application: Guid | None = None


class Invitation(InvitationRequest):
    """What is kept. The redeem URL is not: it is made from the id whenever somebody may see it."""

    id: Guid
    status: Status = "PendingAcceptance"
    inviter: str = ""  # object id of the user, or the client id, who invited

    def shown(self, redeem_url: str) -> dict[str, Any]:
        """Return the resource as its inviter sees it."""
        body = self.to_json()
        del body["inviter"]
        return {**body, "inviteRedeemUrl": redeem_url}


def invited_apart(tenant: Tenant, oid: str) -> bool:
    """Tell whether somebody was invited through a workload that does not ask the directory, so that its lists do not
    stand in the way of accepting, either.
    """
    apart = tenant.policy.collaboration.workloads_apart
    return bool(apart) and any(
        isinstance(one, Invitation) and one.application in apart
        and one.invited_user is not None and one.invited_user.id == oid
        for one in tenant.objects.get("invitation", {}).values()
    )


def _put(directory: Directory, tenant_id: str, values: Mapping[str, GraphObject | None]) -> Directory:
    """An invitation decides nothing by itself: the object of the invited person does."""
    del tenant_id, values
    return directory


INVITATION = ObjectKind("invitation", Invitation, _put)
