"""The tunnel's TLS on real loopback sockets: who gets in, who does not, and what a broken file changes."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.certificates import Authority, Pair, new_key, now
from tests.support.tokens import OTHER_TENANT, TENANT, USER
from tunneld.model.errors import DocumentError
from tunneld.net.ciphers import PREFERRED, prefer_aes_128, preferred_suite
from tunneld.net.tls import client_context, server_context, trust_context
from tunneld.wire.x509 import key_pem, make_csr, make_edge_certificate, read_client_identity

NAME = f"{TENANT}.private.edge.test"
OTHER_NAME = f"{OTHER_TENANT}.private.edge.test"


@dataclass
class Meeting:
    """What each side saw of one connection."""

    server_error: str | None = None
    client_error: str | None = None
    peer: bytes | None = None
    alpn: str | None = None
    version: str | None = None
    resumed: bool = False
    session: ssl.SSLSession | None = None
    exchanged: bool = False
    context: ssl.SSLContext | None = None


def meet(
    server: ssl.SSLContext, client: ssl.SSLContext, *, name: str = NAME, session: ssl.SSLSession | None = None
) -> Meeting:
    """Connect a client to a server over loopback TCP, exchange a byte each way, and say how it went."""
    meeting = Meeting()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        thread = threading.Thread(target=_serve, args=(listener, server, meeting))
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), timeout=5) as raw,
                client.wrap_socket(raw, server_hostname=name, session=session) as stream,
            ):
                stream.sendall(b"?")
                meeting.exchanged = stream.recv(1) == b"!"
                meeting.session = stream.session
        except ssl.SSLError as error:
            meeting.client_error = error.reason
        except OSError as error:
            meeting.client_error = type(error).__name__
        thread.join(5)
    return meeting


def _serve(listener: socket.socket, context: ssl.SSLContext, meeting: Meeting) -> None:
    raw, _ = listener.accept()
    raw.settimeout(5)
    try:
        with context.wrap_socket(raw, server_side=True) as stream:
            meeting.peer = stream.getpeercert(binary_form=True)
            meeting.alpn, meeting.version = stream.selected_alpn_protocol(), stream.version()
            meeting.resumed, meeting.context = bool(stream.session_reused), stream.context
            stream.recv(1)
            stream.sendall(b"!")
    except ssl.SSLError as error:
        meeting.server_error = error.reason
    except OSError as error:
        meeting.server_error = type(error).__name__
    finally:
        raw.close()


class World:
    """Two tenants with their authorities, edges and users."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ours, self.theirs = Authority(directory, "ours"), Authority(directory, "theirs")
        self.edge, self.other_edge = self.ours.server(NAME), self.theirs.server(OTHER_NAME)
        self.user = self.ours.client()
        self.stranger = self.theirs.client(tenant_id=OTHER_TENANT)

    def server(self) -> ssl.SSLContext:
        return server_context(certificate=self.edge.certificate, key=self.edge.key, client_ca=self.ours.path)

    def other_server(self) -> ssl.SSLContext:
        pair = self.other_edge
        return server_context(certificate=pair.certificate, key=pair.key, client_ca=self.theirs.path)

    def client(self, pair: Pair | None = None, *, ca: Path | None = None) -> ssl.SSLContext:
        pair = pair or self.user
        return client_context(ca=ca or self.ours.path, certificate=pair.certificate, key=pair.key)

    def raw(self, side: ssl._SSLMethod, pair: Pair | None, *, ca: Path) -> ssl.SSLContext:
        """A context as somebody else would build it, without our checks."""
        context = ssl.SSLContext(side)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(ca)
        context.set_alpn_protocols(["h2"])
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        return context


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("tls"))


def test_a_user_of_the_tenant_gets_in(world: World) -> None:
    """TLS 1.3, HTTP/2, no resumption, and the edge sees whose certificate it is."""
    meeting = meet(world.server(), world.client())
    assert (meeting.server_error, meeting.client_error, meeting.exchanged) == (None, None, True)
    assert (meeting.version, meeting.alpn, meeting.resumed) == ("TLSv1.3", "h2", False)
    assert meeting.peer is not None
    identity = read_client_identity(meeting.peer)
    assert (identity.tenant_id, identity.oid) == (TENANT, USER)


def _foreign(world: World) -> Pair:
    return world.stranger


def _expired(world: World) -> Pair:
    return world.ours.client(hours=(-3, -1), label="expired")


def _not_yet(world: World) -> Pair:
    return world.ours.client(hours=(1, 3), label="early")


def _server_as_client(world: World) -> Pair:
    return world.edge


def _signed_by_a_user(world: World) -> Pair:
    """A user who plays authority with his own certificate."""
    user, key = world.user, new_key()
    pem = make_edge_certificate(
        key.public_key(), ["evil.test"], ca_cert_pem=user.certificate.read_bytes(), ca_key_pem=user.key.read_bytes(),
        serial=99, not_before=now(), not_after=now().replace(year=now().year + 1),
    )  # fmt: skip
    pair = Pair(world.directory / "minted.pem", world.directory / "minted.key")
    pair.certificate.write_bytes(pem + user.certificate.read_bytes())
    pair.key.write_bytes(key_pem(key))
    return pair


def _self_made_authority(world: World) -> Pair:
    """An authority with the same name as the tenant's, made by somebody else."""
    folder = world.directory / "twin"
    folder.mkdir(exist_ok=True)
    return Authority(folder, "ours").client()


@pytest.mark.parametrize(
    ("who", "cause"),
    [
        (_foreign, "CERTIFICATE_VERIFY_FAILED"),
        (_expired, "CERTIFICATE_VERIFY_FAILED"),
        (_not_yet, "CERTIFICATE_VERIFY_FAILED"),
        (_server_as_client, "CERTIFICATE_VERIFY_FAILED"),
        (_signed_by_a_user, "CERTIFICATE_VERIFY_FAILED"),
        (_self_made_authority, "CERTIFICATE_VERIFY_FAILED"),
        (lambda world: None, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
    ],
    ids=["foreign tenant", "expired", "not yet valid", "server as client", "minted", "twin authority", "none"],
)
def test_others_are_refused_in_the_handshake(world: World, who: object, cause: str) -> None:
    """The edge names the cause; the client never hears an application byte."""
    assert callable(who)
    pair = who(world)
    meeting = meet(world.server(), world.raw(ssl.PROTOCOL_TLS_CLIENT, pair, ca=world.ours.path))
    assert meeting.server_error == cause
    assert meeting.peer is None
    assert not meeting.exchanged


def test_older_tls_is_refused(world: World) -> None:
    """A client that knows TLS 1.2 only gets no handshake, nor does a server that does."""
    old = world.raw(ssl.PROTOCOL_TLS_CLIENT, world.user, ca=world.ours.path)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert meet(world.server(), old).server_error == "UNSUPPORTED_PROTOCOL"
    old_server = world.raw(ssl.PROTOCOL_TLS_SERVER, world.edge, ca=world.ours.path)
    old_server.maximum_version = ssl.TLSVersion.TLSv1_2
    meeting = meet(old_server, world.client())
    assert meeting.client_error is not None
    assert not meeting.exchanged


def test_the_client_takes_no_other_edge(world: World) -> None:
    """Another authority, another name, an expired or a user's certificate: the client hangs up."""
    impostors = {
        "another authority": (world.other_edge, NAME),
        "another name": (world.ours.server("evil.test", label="evil"), NAME),
        "expired": (world.ours.server(NAME, days=(-2, -1), label="old"), NAME),
        "a user's": (world.user, NAME),
    }
    for label, (pair, name) in impostors.items():
        server = world.raw(ssl.PROTOCOL_TLS_SERVER, pair, ca=world.ours.path)
        meeting = meet(server, world.client(), name=name)
        assert meeting.client_error == "CERTIFICATE_VERIFY_FAILED", label
        assert not meeting.exchanged, label


def _by_name(first: ssl.SSLContext, second: ssl.SSLContext) -> ssl.SSLContext:
    """Choose between two tenants' contexts by server name, as many servers do."""

    def choose(stream: ssl.SSLObject, name: str, _: ssl.SSLContext) -> None:
        if name == OTHER_NAME:
            stream.context = second

    first.sni_callback = choose  # type: ignore[assignment]
    return first


def _visit_both(world: World, first: ssl.SSLContext, second: ssl.SSLContext) -> Meeting:
    """Get a session at our tenant, then offer it at the other one's name, with no certificate of theirs."""
    client = world.raw(ssl.PROTOCOL_TLS_CLIENT, world.user, ca=world.ours.path)
    client.verify_mode = ssl.CERT_NONE
    server = _by_name(first, second)
    visit = meet(server, client)
    assert visit.exchanged
    session = visit.session if visit.session is not None and visit.session.has_ticket else None
    return meet(server, client, name=OTHER_NAME, session=session)


def test_a_session_of_one_tenant_opens_nothing_at_another(world: World) -> None:
    """Resumption would skip the other tenant's certificate check; there is none to resume."""
    meeting = _visit_both(world, world.server(), world.other_server())
    assert not meeting.resumed
    assert not meeting.exchanged
    assert meeting.server_error == "CERTIFICATE_VERIFY_FAILED"


def test_the_same_visit_succeeds_where_tickets_are_given(world: World) -> None:
    """The control experiment: with OpenSSL's defaults the session is taken over, so the test above can fail."""
    first, second = world.server(), world.other_server()
    for context in (first, second):
        context.num_tickets = 2
        context.options &= ~ssl.OP_NO_TICKET
    meeting = _visit_both(world, first, second)
    assert meeting.resumed
    assert meeting.exchanged
    assert meeting.peer is not None
    assert read_client_identity(meeting.peer).tenant_id == TENANT


def test_nothing_resumes_at_home_either(world: World) -> None:
    """Every connection is a full handshake with the certificate of the moment."""
    server, client = world.server(), world.client()
    first = meet(server, client)
    assert first.session is None or not first.session.has_ticket
    second = meet(server, client, session=first.session)
    assert second.exchanged
    assert not second.resumed


@pytest.fixture
def files(world: World, tmp_path: Path) -> Pair:
    """A copy of the edge's files that a test may spoil."""
    pair = Pair(tmp_path / "edge.pem", tmp_path / "edge.key")
    pair.certificate.write_bytes(world.edge.certificate.read_bytes())
    pair.key.write_bytes(world.edge.key.read_bytes())
    return pair


def _encrypted(pair: Pair) -> None:
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    protection = serialization.BestAvailableEncryption(b"pass phrase")
    pair.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    )


SPOILED = {
    "no certificate": (lambda pair: pair.certificate.unlink(), "edge.pem: cannot be read"),
    "no key": (lambda pair: pair.key.unlink(), "edge.key: cannot be read"),
    "garbled certificate": (lambda pair: pair.certificate.write_bytes(b"x"), "edge.pem: holds no certificate"),
    "garbled key": (lambda pair: pair.key.write_bytes(b"x"), "edge.key: is not usable"),
    "another key": (lambda pair: pair.key.write_bytes(key_pem(new_key())), "edge.key: is not the key of"),
    "encrypted key": (_encrypted, "edge.key: is encrypted"),
    "a request": (lambda pair: pair.certificate.write_bytes(make_csr(new_key())), "edge.pem: holds no certificate"),
    "half a file": (lambda pair: pair.certificate.write_bytes(pair.certificate.read_bytes()[:300]), "edge.pem: holds"),
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_spoiled_file_is_named_and_the_live_context_works_on(world: World, files: Pair, spoil: str) -> None:
    """Building the new context fails with one line; the one in use is another object and keeps serving."""
    live = server_context(certificate=files.certificate, key=files.key, client_ca=world.ours.path)
    act, message = SPOILED[spoil]
    act(files)
    with pytest.raises(DocumentError) as refusal:
        server_context(certificate=files.certificate, key=files.key, client_ca=world.ours.path)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert meet(live, world.client()).exchanged


def test_certificates_out_of_their_time_are_not_loaded(world: World) -> None:
    """An expired or future certificate is refused at once, with its date and the mend."""
    old = world.ours.server(NAME, days=(-2, -1), label="past")
    with pytest.raises(DocumentError, match=r"expired on \d{4}-\d\d-\d\d .*tunneld certs"):
        server_context(certificate=old.certificate, key=old.key, client_ca=world.ours.path)
    early = world.ours.server(NAME, days=(1, 2), label="future")
    with pytest.raises(DocumentError, match=r"is not valid before .*clock"):
        server_context(certificate=early.certificate, key=early.key, client_ca=world.ours.path)


def test_an_authority_file_must_hold_a_certificate(world: World, tmp_path: Path) -> None:
    """Missing, empty and foreign content are each one clear line."""
    with pytest.raises(DocumentError, match=r"absent.pem: cannot be read \(No such file"):
        client_context(ca=tmp_path / "absent.pem")
    (tmp_path / "empty.pem").write_bytes(b"")
    with pytest.raises(DocumentError, match=r"empty.pem: holds no certificate"):
        client_context(ca=tmp_path / "empty.pem")
    with pytest.raises(DocumentError, match=r"holds no certificate"):
        client_context(ca=world.user.key)


def test_a_plain_https_client_trusts_one_authority(world: World) -> None:
    """The context for the identity provider accepts its authority and no public one, with TLS 1.2 at least."""
    context = trust_context(world.ours.path)
    assert len(context.get_ca_certs()) == 1
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(world.edge.certificate, world.edge.key)
    assert meet(server, context).exchanged
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(world.other_edge.certificate, world.other_edge.key)
    assert meet(server, context, name=OTHER_NAME).client_error == "CERTIFICATE_VERIFY_FAILED"


def test_a_client_without_a_certificate_is_a_context_too(world: World) -> None:
    """Before enrolment there is none to show."""
    context = client_context(ca=world.ours.path)
    assert meet(world.server(), context).server_error == "PEER_DID_NOT_RETURN_A_CERTIFICATE"


def test_aes_128_comes_first_where_asked_for(world: World) -> None:
    """In a process of its own, because the order is the whole process's: it holds on the wire, twice over."""
    program = f"""
import sys; sys.path.insert(0, {str(Path.cwd())!r})
from pathlib import Path
from tests.integration.net.test_tls import World, meet
from tunneld.net.ciphers import PREFERRED, prefer_aes_128, preferred_suite
import ssl, tempfile
assert preferred_suite() != PREFERRED
assert prefer_aes_128() and prefer_aes_128()
assert preferred_suite() == PREFERRED
world = World(Path(tempfile.mkdtemp()))
server = world.server()
assert ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).security_level == 2
meeting = meet(server, world.client())
assert meeting.exchanged, meeting
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_without_a_library_to_ask_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A statically linked OpenSSL, or another library, leaves the order as it was and says so."""
    before = preferred_suite()
    if before == PREFERRED:
        assert prefer_aes_128()
        return
    import _ssl

    monkeypatch.delattr(_ssl, "__file__")
    assert not prefer_aes_128()
    monkeypatch.setattr(_ssl, "__file__", "/nonexistent.so", raising=False)
    assert not prefer_aes_128()
    assert preferred_suite() == before
