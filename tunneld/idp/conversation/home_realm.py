"""Home realm discovery: which organization somebody belongs to, where the URL names none.

At `/common` and `/organizations` people sign in to the organization of their account. Whoever is somebody's guest
names that organization in the URL; nothing here ever chooses it for them.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from tunneld.idp.conversation.book import BOOK
from tunneld.idp.conversation.errand import Carried
from tunneld.idp.pages import form_page
from tunneld.idp.provider import Provider
from tunneld.idp.sessions import find_session
from tunneld.policy.authorization import SHARED
from tunneld.policy.directory import Directory, ObjectKey, SignInWay, Tenant

FIND = "find_home"  # the button of the page that asks for an account alone
REALM = "realm"  # the hidden field with the organization that the pages are shown for
UNKNOWN = "No organization here has accounts of that name. Guests follow the link of the organization they visit."


def shared_name(request: Request) -> str:
    """Return the name in the URL that stands for no organization, "" where the URL names one."""
    name = str(request.path_params["tenant"]).lower()
    return name if name in SHARED else ""


def template_issuer(provider: Provider) -> str:
    """Return the issuer of the shared names' metadata, which is what answers name before an organization is known."""
    return f"{provider.base_url}/{{tenantid}}/v2.0"


def home_of(directory: Directory, account: ObjectKey) -> Tenant | None:
    """Return the organization that an account signs in at; a guest from outside all of them has none."""
    user = directory.user(account)
    return directory.tenants[account[0]] if user is not None and user.way is SignInWay.HERE else None


async def realm_of(
    provider: Provider, request: Request, fields: Mapping[str, str], *, hint: str = "", fresh: bool = False
) -> Tenant | None:
    """Return the organization to sign in to: that of the session, of the typed name, of the hint; None to ask.

    It goes by the domain of the name, so that it looks the same for accounts that do not exist.
    """
    directory = provider.directory
    action = fields.get("action", "") if request.method == "POST" else ""
    if action == FIND or action in BOOK.first_factors:  # the pages before there is a session
        return _by_name(directory, fields.get("username", "")) or _carried(directory, fields)
    session = None if fresh else await find_session(provider, request)
    hinted = directory.account(hint)
    if session is not None and hinted in (None, session.account):
        home = home_of(directory, session.account)
        if home is not None:
            return home
    return _by_name(directory, hint) or (_carried(directory, fields) if action else None)


def account_page(provider: Provider, request: Request, carried: Carried, *, client: str, error: str = "") -> Response:
    """Return the page that asks for an account, before it is known whose password page to show."""
    values = {"hidden": carried, "client": client, "error": error}
    uri = dict(carried).get("redirect_uri")
    return form_page(provider, request, "account.html", None, values, redirect_uri=uri)


def _by_name(directory: Directory, name: str) -> Tenant | None:
    account = directory.account(name)
    found = directory.home_realm(name) if "@" in name else None
    return directory.tenants.get(account[0]) if found is None and account is not None else found


def _carried(directory: Directory, fields: Mapping[str, str]) -> Tenant | None:
    return directory.tenants.get(fields.get(REALM, ""))
