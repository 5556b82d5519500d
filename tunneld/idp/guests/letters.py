"""What guests are written: the invitation, a notification where nothing has to be accepted, and the passcode."""

from __future__ import annotations

from tunneld.idp.guests.outbox import Letter
from tunneld.policy.directory import Tenant
from tunneld.policy.guests.invitation_object import Invitation
from tunneld.policy.guests.redemption import Mail

_ABOUT = (
    "Only act on this message if you expect it. It was written by a mock identity provider for tests and sent nowhere."
)


def invitation_letter(tenant: Tenant, invitation: Invitation, inviter: str, link: str, mail: Mail) -> Letter:
    """Return the mail of an invitation. With automatic redemption it has nothing to accept, only where to go."""
    about = invitation.invited_user_message_info
    note = about.customized_message_body if about is not None else None
    if mail is Mail.NOTIFICATION:
        subject = f"You have been added to {_line(tenant.display_name)}"
        lead = f"{inviter} added you as a guest of {_line(tenant.display_name)}. There is nothing to accept."
        action = f"Go there:\n{invitation.invite_redirect_url}"
    else:
        subject = f"{inviter} invited you to access applications of {_line(tenant.display_name)}"
        lead = f"{inviter} invites you to be a guest of {_line(tenant.display_name)}."
        action = f"Accept the invitation:\n{link}"
    parts = [lead, *([f"Message from {inviter}:\n{note}"] if note else []), action, _ABOUT]
    copies = about.cc_recipients if about is not None else ()
    return Letter(
        tenant, invitation.invited_user_email_address, subject, "\n\n".join(parts) + "\n",
        invitation.invited_user_display_name or "",
        tuple((one.email_address.name or "", one.email_address.address) for one in copies),
        (about.message_language if about is not None else None) or "en-US",
    )


def passcode_letter(tenant: Tenant, address: str, code: str) -> Letter:
    """Return the mail with a one-time passcode."""
    name = _line(tenant.display_name)
    text = (
        f"Your one-time passcode for {name} is:\n\n{code}\n\n"
        f"It is good for 30 minutes, once. Nobody of {name} will ask you for it.\n\n{_ABOUT}\n"
    )
    return Letter(tenant, address, f"Your {name} account verification code", text)


def _line(text: str) -> str:
    return " ".join(text.split())
