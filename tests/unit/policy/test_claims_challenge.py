"""Claims challenges: what is read of one, in which spellings, and that nothing else of it is passed on."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tunneld.policy.claims_challenge import claims_parameter, read_challenge, step_up_challenge
from tunneld.policy.claims_request import MAX_CLAIMS, ClaimsRequest, parse_claims


def packed(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.b64encode(text.encode()).decode()


def access(**members: Any) -> str:
    return packed({"access_token": members})


def test_a_challenge_is_the_documented_one() -> None:
    """The form that the platform's documentation shows."""
    assert json.loads(base64.b64decode(step_up_challenge("c1"))) == {
        "access_token": {"acrs": {"essential": True, "value": "c1"}}
    }


@pytest.mark.parametrize("strip", [False, True])
@pytest.mark.parametrize("context", ["c1", "c10", "c99"])
def test_what_was_challenged_is_read_with_and_without_padding(context: str, strip: bool) -> None:
    text = step_up_challenge(context)
    assert read_challenge(text.rstrip("=") if strip else text) == ClaimsRequest(contexts=(context,))


def test_only_what_is_known_is_read() -> None:
    """Capabilities are ours to name, and members without meaning here go no further."""
    text = access(
        acrs={"essential": True, "values": ["c1", "c2"]}, nbf={"essential": True, "value": "1604106651"},
        xms_cc={"values": ["evil"]}, xms_rp_ipaddr={"value": "192.0.2.1"}, capolids={"values": ["x"]},
    )  # fmt: skip
    found = read_challenge(text)
    assert found == ClaimsRequest(contexts=("c1", "c2"), not_before=1604106651)
    assert json.loads(claims_parameter(found)) == {
        "access_token": {
            "xms_cc": {"values": ["cp1"]}, "acrs": {"essential": True, "values": ["c1", "c2"]},
            "nbf": {"essential": True, "value": "1604106651"},
        }
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "", "=", "%", "é", "AAAA" * MAX_CLAIMS, packed(""), packed("{"), packed("[]"), packed("null"), packed("7"),
        packed("[" * 3000), packed({}), packed({"access_token": []}), packed({"id_token": {"acrs": {"value": "c1"}}}),
        access(), access(acrs={"value": 1}), access(acrs={"value": "c0"}), access(acrs={"value": "c100"}),
        access(acrs={"value": "C1"}), access(acrs={"value": "c1\n"}), access(acrs=["c1"]),
        access(acrs={"values": "c1"}),
        access(acrs={"value": "c1", "values": ["c1"]}), access(acrs={"values": ["c1"] * 100}), access(nbf={"value": 1}),
        access(capolids={"values": ["x"]}), access(xms_cc={"values": ["cp1"]}),
        packed('{"access_token":{"acrs":{"value":"c1"},"acrs":{"value":"c2"}}}'),
        step_up_challenge("c1") + " ", step_up_challenge("c1") + "\n", "-_" + step_up_challenge("c1"),
    ],
)  # fmt: skip
def test_anything_else_is_no_challenge(text: str) -> None:
    assert read_challenge(text) is None


@pytest.mark.parametrize(
    "demand", [ClaimsRequest(), ClaimsRequest(contexts=("c1",)), ClaimsRequest(contexts=("c1", "c99"), not_before=7)]
)
def test_the_provider_reads_what_we_ask(demand: ClaimsRequest) -> None:
    """By the very parser of the identity provider."""
    assert parse_claims(claims_parameter(demand)) == ClaimsRequest(("cp1",), demand.contexts, demand.not_before)
