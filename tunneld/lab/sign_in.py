"""Signs the lab's user in the way a person does: opens the page, fills the form, follows the redirects."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from ssl import create_default_context
from urllib.parse import urljoin, urlsplit

import httpx

from tunneld.model.errors import TunneldError

MAX_STEPS = 12  # a sign-in takes four: page, form, redirect to the provider, callback


class SignInError(TunneldError):
    """The pages did not lead to the callback. The message holds what the page said."""


class Form:
    """The first form of a page: where it goes and what its fields hold."""

    def __init__(self, action: str, method: str) -> None:
        self.action = action
        self.method = method.upper()
        self.fields: dict[str, str] = {}


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.form: Form | None = None
        self.words: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form" and self.form is None:
            self.form = Form(attributes.get("action", ""), attributes.get("method", "get"))
            self._inside = True
        elif tag in ("input", "button") and self._inside and self.form and "name" in attributes:
            self.form.fields.setdefault(attributes["name"], attributes.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())


def read_form(page: str) -> tuple[Form | None, str]:
    """Return a page's first form, if it has one, and its words for a message."""
    reader = _FormReader()
    reader.feed(page)
    return reader.form, " ".join(reader.words)[:300]


def sign_in(url: str, *, username: str, password: str, ca: Path) -> str:
    """Walk the pages from `url` to the callback on loopback; return what the callback page says."""
    context = create_default_context(cafile=str(ca))
    with httpx.Client(verify=context, follow_redirects=False, trust_env=False, timeout=20.0) as browser:
        return walk(browser, url, username=username, password=password)


def walk(browser: httpx.Client, url: str, *, username: str, password: str, stop_at: str | None = None) -> str:
    """Walk the pages to the words of the last one, or to the redirect that begins with `stop_at`, and return it.

    Raises SignInError when a page comes back with the same question, which is how a wrong password looks.
    """
    asked = 0
    response = browser.get(url)
    for _ in range(MAX_STEPS):
        if response.is_redirect:
            target = urljoin(str(response.url), response.headers["location"])
            if stop_at is not None and target.startswith(stop_at):
                return target
            response = browser.get(target)
            continue
        form, words = read_form(response.text)
        if urlsplit(str(response.url)).scheme == "http" or form is None:
            if response.is_error or stop_at is not None:
                raise SignInError(f"{response.status_code} from {urlsplit(str(response.url)).path}: {words}")
            return words
        if "password" in form.fields:
            asked += 1
            if asked > 1:
                raise SignInError(f"the page asked again: {words}")
        fields = form.fields | {
            name: value for name, value in (("username", username), ("password", password)) if name in form.fields
        }
        target = urljoin(str(response.url), form.action)
        response = browser.request(form.method, target, data=fields if form.method == "POST" else None)
    raise SignInError(f"no end after {MAX_STEPS} pages")
