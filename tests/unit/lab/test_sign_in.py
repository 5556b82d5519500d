"""The reader of sign-in pages finds the form and the words, and nothing outside the form."""

from __future__ import annotations

from tunneld.lab.sign_in import read_form

PAGE = """<html><body><p>Wrong password.</p>
<input name="stray" value="x">
<form method="post" action="/here"><input type="hidden" name="flow" value="a&amp;b"><input name="username">
<input name="password" type="password"><button name="step" value="sign-in">Sign in</button></form>
<form action="/other"><input name="second"></form></body></html>"""


def test_the_first_form_and_its_fields() -> None:
    """Hidden fields keep their values, with entities decoded."""
    form, words = read_form(PAGE)
    assert form is not None
    assert (form.action, form.method) == ("/here", "POST")
    assert form.fields == {"flow": "a&b", "username": "", "password": "", "step": "sign-in"}
    assert "Wrong password." in words


def test_a_page_without_a_form_is_the_end() -> None:
    """Its words go into the message."""
    assert read_form("<p>You may close this window.</p>") == (None, "You may close this window.")
