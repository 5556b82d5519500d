"""What our HTTP/1.1 listeners ask of a request head beyond h11, and the refusals that they answer with.

h11 is lenient where RFC 9112 lets a server be: bare LF as a line end, folded lines, control characters in values.
Two programs that read such a head differently are how requests get smuggled (RFC 9112 §11.2), so a proxy refuses.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable
from hmac import compare_digest
from http import HTTPStatus

from tunneld.model.errors import PeerProtocolError
from tunneld.model.reasons import Kind, Reason
from tunneld.wire.handshake import Credentials
from tunneld.wire.proxy_status import answer_for, encode_proxy_status

MAX_HEAD = 16 * 1024  # h11's own default; Apache and IIS allow 8 to 16 KiB.
MAX_FIELDS = 100  # Apache's LimitRequestFields, and http.client's _MAXHEADERS.
MAX_DETAIL = 500  # the longest refusals of an identity provider have two sentences and a correlation id

_BARE_LF = re.compile(rb"(?<!\r)\n")
_FORBIDDEN = re.compile(rb"\r(?!\n)|\r\n[ \t]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_UNSAFE_TEXT = re.compile(r"[^\x20-\x7e]")


def measure_head(buffer: bytes | bytearray) -> int:
    """Return the length of the head at the start of `buffer`, 0 if it is not complete yet.

    Raises PeerProtocolError(`malformed_request`) for anything that two readers could see differently.
    """
    end = buffer.find(b"\r\n\r\n")
    size = end + 4 if end >= 0 else len(buffer)
    if size > MAX_HEAD:
        raise PeerProtocolError(Reason.MALFORMED_REQUEST, f"the head is longer than {MAX_HEAD} bytes")
    if _BARE_LF.search(buffer, 0, size):
        raise PeerProtocolError(Reason.MALFORMED_REQUEST, "a line ends without CR")
    if end < 0:
        return 0
    if _FORBIDDEN.search(buffer, 0, end + 2):
        raise PeerProtocolError(Reason.MALFORMED_REQUEST, "a folded line or a control character")
    if buffer.count(b"\r\n", 0, end) > MAX_FIELDS:
        raise PeerProtocolError(Reason.MALFORMED_REQUEST, f"more than {MAX_FIELDS} fields")
    return size


def plain_words(error: Exception) -> str:
    """Return what h11 says without the bytes that it quotes, which are the peer's and may be secret."""
    return str(error).partition(": bytearray(")[0]


def is_authorized(fields: Iterable[tuple[bytes, bytes]], credentials: Credentials | None) -> bool:
    """Say whether the one Proxy-Authorization field holds `credentials` as Basic (RFC 7617)."""
    if credentials is None:
        return True
    values = [value for name, value in fields if name == b"proxy-authorization"]
    if len(values) != 1:
        return False
    scheme, _, text = values[0].partition(b" ")
    if scheme.lower() != b"basic":
        return False
    try:
        given = b64decode(text.strip(), validate=True)
    except (Base64Error, ValueError):
        return False
    return compare_digest(given, credentials[0] + b":" + credentials[1])


def refusal_status(reason: Reason) -> int:
    """Return the status that tells an application `reason`.

    An application cannot answer our step-up challenge, which is the tunnel client's business: it reads 403.
    """
    return 403 if reason.kind is Kind.STEP_UP else answer_for(reason).status


def refusal_fields(reason: Reason) -> list[tuple[str, str]]:
    """Return the header fields of a refusal, without those that frame its body."""
    fields = [
        ("Proxy-Status", encode_proxy_status(reason)),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-store"),
    ]
    if refusal_status(reason) == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        fields.append(("Proxy-Authenticate", 'Basic realm="tunneld", charset="UTF-8"'))
    return fields


def refusal_body(reason: Reason, detail: str = "") -> bytes:
    """Return the text that a person reads. `detail` may hold a peer's words, so it is cut and cleaned."""
    own_words = "" if detail == reason.value else detail.removeprefix(f"{reason.value}: ")
    clean = _UNSAFE_TEXT.sub("?", own_words[:MAX_DETAIL])
    return f"tunneld: {reason.sentence} ({reason.value}{': ' + clean if clean else ''})\n".encode()


def encode_refusal(reason: Reason, detail: str = "") -> bytes:
    """Return a whole refusal that ends the connection."""
    status = HTTPStatus(refusal_status(reason))
    body = refusal_body(reason, detail)
    fields = [*refusal_fields(reason), ("Content-Length", str(len(body))), ("Connection", "close")]
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode("ascii") + body
