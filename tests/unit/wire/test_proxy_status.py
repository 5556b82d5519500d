"""The Proxy-Status field of RFC 9209."""

from __future__ import annotations

import pytest

from tunneld.model.errors import LocalProtocolError
from tunneld.model.reasons import Kind, Reason
from tunneld.wire.proxy_status import ANSWER_BY_KIND, answer_for, decode_proxy_status, encode_proxy_status

# https://www.iana.org/assignments/http-proxy-status: the registered error types that we use.
REGISTERED = {
    "dns_error", "destination_unavailable", "destination_ip_prohibited", "destination_ip_unroutable",
    "connection_refused", "connection_terminated", "connection_timeout", "connection_limit_reached",
    "tls_certificate_error", "http_request_error", "http_request_denied", "proxy_internal_error",
}  # fmt: skip


def test_every_kind_has_a_status_and_a_registered_error() -> None:
    """No kind is forgotten, and only OK is a success."""
    assert set(ANSWER_BY_KIND) == set(Kind)
    for reason in Reason:
        status, error = answer_for(reason)
        if reason.kind is Kind.OK:
            assert (status, error) == (200, None)
            with pytest.raises(LocalProtocolError):
                encode_proxy_status(reason)
        else:
            assert 400 <= status <= 504
            assert error in REGISTERED
            assert decode_proxy_status(encode_proxy_status(reason)) == (error, reason.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("tunneld; error=dns_error; details=\"x\"", ("dns_error", "x")),
        ("envoy;details=filter_chain", (None, "filter_chain")),
        ("a; ERROR=one; error=two; flag", ("one", None)),
        ("plain", (None, None)),
        ("", (None, None)),
    ],
)
def test_fields_of_other_proxies_are_read(value: str, expected: tuple[str | None, str | None]) -> None:
    """Quoted or not, in any order, the first of a kind wins."""
    assert decode_proxy_status(value) == expected
