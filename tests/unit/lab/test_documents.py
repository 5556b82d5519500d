"""Settings written as TOML read back as they were."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from tunneld.lab.documents import toml_text

KEYS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=8)
# DEL and the C1 controls must be escaped in TOML 1.0; JSON leaves DEL alone, and no settings value holds it.
TEXTS = st.text(st.characters(exclude_characters="\x7f", exclude_categories=("Cs",)), max_size=20)
SCALARS = st.one_of(TEXTS, st.integers(-(2**53), 2**53), st.booleans())
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3))
TABLES = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=3),
    lambda inner: st.dictionaries(KEYS, st.one_of(VALUES, inner, st.lists(inner, min_size=1, max_size=2)), max_size=3),
    max_leaves=8,
)


@given(TABLES)
def test_what_is_written_is_read_back(document: dict[str, object]) -> None:
    """For every table of strings, numbers, lists, tables and arrays of tables."""
    assert tomllib.loads(toml_text(document)) == document
