"""The pages that people see: plain HTML, escaped by the template engine, nothing from elsewhere.

No page has script, except those that talk to an authenticator, since a browser offers passkeys to script only, and
the one that hands an answer to a client as a form.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from tunneld.idp.answers import correlation_of
from tunneld.idp.boundary import as_guid
from tunneld.idp.provider import Provider
from tunneld.idp.sessions import csrf_pair, set_csrf
from tunneld.policy.directory import Tenant
from tunneld.policy.refusals import Refusal

_templates = Environment(
    loader=PackageLoader("tunneld.idp"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_style = (files("tunneld.idp") / "templates" / "pages.css").read_text(encoding="utf-8")
_scripts = {
    name: (files("tunneld.idp") / "templates" / name).read_text(encoding="utf-8") for name in ("passkey.js", "reply.js")
}

# What a wrong password and an unknown account both say: a page must not tell which accounts exist.
WRONG_CREDENTIALS = "Your account or password is incorrect. Check both and try again."
LOCKED = "Too many wrong passwords. Your account is locked for a while to keep it safe. Try again later."


def style_sheet(request: Request) -> Response:
    """Serve the pages' style sheet."""
    del request
    return Response(_style, media_type="text/css", headers={"cache-control": "public, max-age=3600"})


def script(request: Request) -> Response:
    """Serve one of the two scripts that there are, by the name at the end of the path."""
    text = _scripts[request.url.path.rpartition("/")[2]]
    return Response(text, media_type="text/javascript", headers={"cache-control": "public, max-age=3600"})


def form_page(
    provider: Provider, request: Request, template: str, tenant: Tenant | None, values: Mapping[str, object],
    *, redirect_uri: str | None = None, script: bool = False,
) -> HTMLResponse:
    """Return a page with a form that posts back to its own URL, protected against cross-site posts."""
    nonce, token = csrf_pair(provider, request)
    html = _templates.get_template(template).render(
        {
            "tenant": _name(tenant), "csrf": token, "action": request.url.path,
            **values,
        }
    )
    page = HTMLResponse(html, headers=_page_headers(redirect_uri, script=script))
    set_csrf(page, nonce)
    return page


def message_page(
    *, heading: str, text: str, tenant: Tenant | None = None, detail: str = "", status: int = 200
) -> HTMLResponse:
    """Return a page that only says something."""
    html = _templates.get_template("message.html").render(
        tenant=_name(tenant), heading=heading, text=text, detail=detail
    )
    return HTMLResponse(html, status_code=status, headers=_page_headers(None))


def away_page(target: str, provider_name: str, tenant: Tenant) -> HTMLResponse:
    """Return a page that goes on to another identity provider by itself.

    After a form of ours a redirect would not do: browsers apply the page's form-action to it.
    """
    html = _templates.get_template("away.html").render(
        tenant=tenant.display_name, target=target, provider=provider_name
    )
    return HTMLResponse(html, headers=_page_headers(None))


def reply_page(redirect_uri: str, fields: Mapping[str, str]) -> HTMLResponse:
    """Return a page that posts an answer to a client: by a script, or by its button where script is off."""
    html = _templates.get_template("reply.html").render(
        tenant=_name(None), target=redirect_uri, fields=sorted(fields.items())
    )
    return HTMLResponse(html, headers=_page_headers(redirect_uri, script=True))


def refusal_page(request: Request, refused: Refusal, tenant: Tenant | None = None) -> HTMLResponse:
    """Return a page for an error that must not be sent to a redirect URI (RFC 6749 §4.1.2.1)."""
    detail = f"{refused.description} Correlation ID: {as_guid(correlation_of(request))}"
    heading = "We cannot sign you in"
    return message_page(heading=heading, text=refused.sentence, tenant=tenant, detail=detail, status=400)


def _name(tenant: Tenant | None) -> str:
    return tenant.display_name if tenant else "tunneld"


def _page_headers(redirect_uri: str | None, *, script: bool = False) -> dict[str, str]:
    # Browsers apply form-action to the redirect that answers the form, so the client's origin must be in it.
    target = ""
    if redirect_uri is not None:
        parts = urlsplit(redirect_uri)
        target = f" {parts.scheme}://{parts.netloc}"
    scripts = "script-src 'self'; " if script else ""
    policy = (
        f"default-src 'none'; style-src 'self'; {scripts}form-action 'self'{target}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return {"content-security-policy": policy, "x-frame-options": "DENY"}
