"""The daemon's settings file: what is accepted, and the one line that each mistake gets."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from tunneld.client import settings as module
from tunneld.client.settings import Section, Settings, default_state_dir, load_settings, parse_settings
from tunneld.model.errors import DocumentError

MINIMAL = '[daemon]\nhome_tenant = "contoso"\n[idp]\nurl = "https://127.0.0.1:8443"\n'


def parse(text: str) -> Settings:
    return parse_settings(text, where="daemon.toml", base=Path("/etc/tunneld"))


def test_two_keys_are_enough_and_guest_access_is_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNNELD_STATE", "/var/lib/x")
    settings = parse(MINIMAL)
    assert settings.daemon.guest_access_enabled is False
    assert settings.daemon.proxy == "127.0.0.1:1080"
    assert settings.daemon.state == Path("/var/lib/x")
    assert settings.proxy_auth is None


def test_relative_paths_count_from_the_files_directory() -> None:
    settings = parse(
        '[daemon]\nhome_tenant="contoso"\nstate="state"\n[idp]\nurl="https://a/"\nca="certs/idp.pem"\n'
        '[trust]\nca="/abs/bundle.pem"\n'
    )
    assert settings.daemon.state == Path("/etc/tunneld/state")
    assert settings.idp.ca == Path("/etc/tunneld/certs/idp.pem")
    assert settings.trust.ca == Path("/abs/bundle.pem")
    assert settings.idp.url == "https://a"


def test_host_names_are_normalised_once() -> None:
    assert parse(MINIMAL + '[hosts]\n"Public.Example." = "127.0.0.1:9"\n').hosts == {"public.example": "127.0.0.1:9"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MINIMAL.replace("url", "ulr"), "daemon.toml: idp.url: is missing (add url)"),
        (MINIMAL + "x = 1\n", "daemon.toml: idp.x: is not a known key (known here: ca, url)"),
        (MINIMAL + "[limit]\nflows = 1\n", "daemon.toml: limit: is not a known key"),
        (MINIMAL + "[proxy_auth]\nuser='u'\npassword='p'\nrealm='x'\n", "known here: password, user"),
        (MINIMAL + "[limits]\nflows = 0\n", "limits.flows: input should be greater than or equal to 1 (got 0)"),
        (MINIMAL.replace("https", "http"), "idp.url: not an https address"),
        (MINIMAL.replace("[daemon]", '[daemon]\nproxy = "1080"'), "not host:port (got '1080') (write it like"),
        (MINIMAL.replace("[daemon]", '[daemon]\nproxy = "127.0.0.1:99999"'), "daemon.proxy: not host:port"),
        (MINIMAL.replace("[daemon]", '[daemon]\nmode = "concurrent"'), "daemon.mode: input should be 'exclusive'"),
        (MINIMAL + '[allow]\ndestinations = ["nonsense"]\n', "allow.destinations[0]: not address:port"),
        (MINIMAL + '[allow]\ndestinations = ["a.example:80"]\n', "allow.destinations[0]: a name, not an address"),
        (MINIMAL + '[hosts]\n"a.example" = "b.example"\n', "hosts.a.example: not address:port"),
        (MINIMAL + '[hosts]\n"a b" = "127.0.0.1"\n', "hosts: 'a b' is not a host name"),
        ("[daemon\n", "daemon.toml: line 1, column 8: "),
    ],
)
def test_each_mistake_gets_one_line_with_file_path_and_mend(text: str, expected: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(text)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.mend


def test_a_wrong_password_is_never_repeated() -> None:
    with pytest.raises(DocumentError) as caught:
        parse(MINIMAL + f"[proxy_auth]\nuser='u'\npassword='{'s' * 300}'\n")
    assert "ssss" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"nothing\.toml: cannot be read \(No such file"):
        load_settings(tmp_path / "nothing.toml")
    (tmp_path / "b.toml").write_bytes(b"a = \xff")
    with pytest.raises(DocumentError, match="byte 4: is not UTF-8"):
        load_settings(tmp_path / "b.toml")
    (tmp_path / "c.toml").write_text(MINIMAL)
    assert load_settings(tmp_path / "c.toml").daemon.home_tenant == "contoso"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TUNNELD_STATE": "/s"}, "/s"),
        ({"XDG_STATE_HOME": "/x"}, "/x/tunneld"),
        ({"HOME": "/home/a"}, "/home/a/.local/state/tunneld"),
    ],
)
def test_the_default_state_directory_follows_the_environment(environ: dict[str, str], expected: str) -> None:
    assert default_state_dir(environ) == Path(expected)


def test_every_key_is_documented_under_its_field() -> None:
    """A key whose meaning only its author knows is a defect, so the source is asked for a docstring per key."""
    tree = ast.parse(inspect.getsource(module))
    undocumented = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.ClassDef) and issubclass(getattr(module, node.name), Section)):
            continue
        for here, following in zip(node.body, [*node.body[1:], None], strict=True):
            if not isinstance(here, ast.AnnAssign) or not isinstance(here.target, ast.Name):
                continue
            table = "Section" in ast.unparse(here.annotation) and "None" not in ast.unparse(here.annotation)
            documented = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            if not table and not documented:
                undocumented.append(f"{node.name}.{here.target.id}")
    assert undocumented == []


def test_an_open_proxy_is_refused_and_one_with_a_password_is_not(tmp_path: Path) -> None:
    """Whoever reaches the proxy acts as the user: beyond loopback that takes a password."""
    text = '[daemon]\nhome_tenant = "contoso"\nproxy = "0.0.0.0:1080"\n[idp]\nurl = "https://127.0.0.1:8443"\n'
    with pytest.raises(DocumentError, match=r"without a password .*add \[proxy_auth\]"):
        parse_settings(text, where="daemon.toml", base=tmp_path)
    auth = '[proxy_auth]\nuser = "alex"\npassword = "secret"\n'
    assert parse_settings(text + auth, where="daemon.toml", base=tmp_path).proxy_auth is not None
