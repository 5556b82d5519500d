"""Header blocks: our encoder against the hpack library's decoder, our fast decoder against the whole library."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder, HPACKError
from hypothesis import given, settings
from hypothesis import strategies as st

from tunneld.wire.h2.header_block import (
    MAX_FIELDS,
    MAX_HEADER_LIST,
    STATUS_200,
    BlockDecoder,
    Field,
    HeaderError,
    _decode_stateless,
    encode,
    encode_field,
    encode_integer,
)

STATIC = [(b":method", b"GET"), (b":status", b"200"), (b":scheme", b"https"), (b"accept-encoding", b"gzip, deflate")]
NAMES = st.one_of(
    st.sampled_from([b":authority", b":method", b":path", b"cookie", b"www-authenticate", b"tunnel-token"]),
    st.binary(min_size=1, max_size=140),
)
VALUES = st.one_of(st.binary(max_size=40), st.integers(100, 600).map(lambda size: b"v" * size))
FIELDS = st.lists(st.one_of(st.sampled_from(STATIC), st.tuples(NAMES, VALUES)), max_size=12)


def library(block: bytes, decoder: Decoder | None = None) -> list[Field] | None:
    """Return what hpack makes of a block, None where it refuses."""
    try:
        fields = (decoder or Decoder(max_header_list_size=MAX_HEADER_LIST)).decode(block, raw=True)
    except (HPACKError, IndexError, ValueError):
        return None
    return [(bytes(name), bytes(value)) for name, value in fields]


@settings(deadline=None)
@given(FIELDS, st.booleans())
def test_what_we_encode_everybody_decodes(fields: list[Field], secret: bool) -> None:
    """Our encoder touches no table, so a fresh decoder and a used one agree."""
    block = encode(fields, frozenset(name for name, _ in fields) if secret else frozenset())
    decoder = Decoder(max_header_list_size=MAX_HEADER_LIST)
    assert library(block, decoder) == library(block, decoder) == fields
    assert not decoder.header_table.dynamic_entries
    assert BlockDecoder().decode(block) == fields


@settings(deadline=None)
@given(FIELDS)
def test_sensitive_fields_are_marked_never_indexed(fields: list[Field]) -> None:
    """hpack sees the mark, and therefore so does every proxy on the way."""
    decoded = Decoder().decode(encode(fields, frozenset(name for name, _ in fields)), raw=True)
    assert all(field.indexable is False for field in decoded)


@settings(deadline=None)
@given(st.lists(FIELDS, max_size=4), st.booleans())
def test_blocks_of_the_library_decode_in_order(lists: list[list[Field]], huffman: bool) -> None:
    """A foreign encoder uses its table and Huffman; between its blocks ours go by without touching the table."""
    encoder, decoder = Encoder(), BlockDecoder()
    for fields in lists:
        assert decoder.decode(encoder.encode(fields, huffman=huffman)) == fields
        assert decoder.decode(encode(fields)) == fields


def likely_blocks() -> st.SearchStrategy[bytes]:
    """Bytes that are nearly a block: pieces of encodings, and damage."""
    piece = st.one_of(
        st.tuples(NAMES, VALUES).map(lambda field: encode_field(*field)),
        st.tuples(NAMES, VALUES).map(lambda field: encode_field(*field, sensitive=True)),
        st.sampled_from(STATIC).map(lambda field: encode_field(*field)),
        st.integers(0, 255).map(lambda first: bytes((first,))),
        st.binary(max_size=6),
        st.sampled_from([b"\x0f", b"\x0f\x2e", b"\x0f\x2f\x00", b"\x1f\x80", b"\x00\x7f", b"\x00\x01a\x7f\x80"]),
    )
    return st.lists(piece, max_size=6).map(b"".join)


@pytest.mark.parametrize(
    "block",
    [
        b"", b"\x82", b"\x80", b"\xff\x00", b"\xbe", b"\x20", b"\x3f\xe1\x1f", b"\x40\x01x\x01y", b"\x0f", b"\x0f\x00",
        b"\x0f\x00\x01y", b"\x0f\x2e\x01y", b"\x0f\x2f\x01y", b"\x0f\x80\x01\x01y", b"\x01", b"\x01\x01", b"\x01\x01y",
        b"\x01\x81\xff", b"\x00", b"\x00\x01", b"\x00\x01x", b"\x00\x01x\x01", b"\x00\x01x\x01y", b"\x00\x81\xff\x01y",
        b"\x00\x7f", b"\x00\x00\x00", b"\x10\x01x\x01y",
        b"\x00\x01x\x7f", b"\x00\x01x\x7f\x00", b"\x00\x01x\x7f\x00" + b"y" * 127, b"\x00\x01x\x7f\xff\x7f",
        b"\x00\x01x\x7f\x80\x01" + b"y" * 255, b"\x00\x01x\x7f\x80\x81\x00" + b"y" * 255,
        b"\x00\x01x\xff\x00" + b"y" * 127,
        encode([(b"x", b"y" * MAX_HEADER_LIST)]), b"\x82" * 500,
    ],
    ids=lambda block: block[:9].hex(),
)  # fmt: skip
def test_every_shape_of_a_block(block: bytes) -> None:
    """Each branch of RFC 7541 §6, whole and cut short."""
    same_as_library(block)


@settings(deadline=None)
@given(st.one_of(likely_blocks(), st.binary(max_size=60)))
def test_the_fast_way_is_the_library_s_way(block: bytes) -> None:
    """On random blocks too."""
    same_as_library(block)


def same_as_library(block: bytes) -> None:
    """Whatever the fast decoder takes, the library takes, and with the same result; the rest it leaves alone."""
    fast = _decode_stateless(block, MAX_HEADER_LIST)
    slow = library(block)
    if fast is not None:
        assert fast == slow
    if slow is None:
        with pytest.raises(HeaderError):
            BlockDecoder().decode(block)
    else:
        assert BlockDecoder().decode(block) == slow


@settings(deadline=None)
@given(st.integers(0, 20_000), st.integers(0, 4))
def test_the_limit_counts_the_same(size: int, indexed: int) -> None:
    """Both count 32 bytes a field more than its letters (RFC 7541 §4.1), indexed fields too."""
    block = b"\x82" * indexed + encode([(b"x", b"y" * size)])
    assert (_decode_stateless(block, 10_000) is not None) == (
        size + 33 + indexed * (len(":method") + len("GET") + 32) <= 10_000
    )
    assert (library(block) is not None) == (_decode_stateless(block, MAX_HEADER_LIST) is not None)


def test_our_own_blocks_take_the_fast_way() -> None:
    """Were the usual request left to the library, nothing would fail and every flow would cost more."""
    request = [(b":method", b"CONNECT"), (b":authority", b"files.example:443"), (b"tunnel-token", b"1"),
               (b"proxy-authorization", b"Bearer " + b"t" * 12_000), (b"www-authenticate", b"x")]
    assert _decode_stateless(encode(request), MAX_HEADER_LIST) == request
    assert _decode_stateless(STATUS_200, MAX_HEADER_LIST) == [(b":status", b"200")]


@settings(deadline=None)
@given(st.integers(0, 2**40), st.integers(1, 8))
def test_integers(value: int, prefix: int) -> None:
    """RFC 7541 §5.1, against a reading of it that is written the other way round."""
    coded = encode_integer(value, prefix, 0)
    limit = (1 << prefix) - 1
    if coded[0] < limit:
        assert coded == bytes((value,))
    else:
        assert coded[0] == limit
        assert all(byte & 0x80 for byte in coded[1:-1])
        assert not coded[-1] & 0x80
        assert limit + sum((byte & 0x7F) << 7 * place for place, byte in enumerate(coded[1:])) == value


def test_integers_of_the_rfc() -> None:
    """RFC 7541, appendix C.1."""
    assert encode_integer(10, 5, 0) == b"\x0a"
    assert encode_integer(1337, 5, 0) == b"\x1f\x9a\x0a"
    assert encode_integer(42, 8, 0) == b"\x2a"


def test_the_number_of_fields_is_limited() -> None:
    """On both ways."""
    fields = [(b"x", b"y")] * MAX_FIELDS
    decoder = BlockDecoder()
    assert decoder.decode(encode(fields)) == fields
    for block in (encode([*fields, (b"x", b"y")]), Encoder().encode([*fields, (b"x", b"y")])):
        with pytest.raises(HeaderError, match="too many"):
            decoder.decode(block)
