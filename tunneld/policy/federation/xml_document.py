"""XML read without surprises: UTF-8, no document type, no entity, no comment, no processing instruction, bounded.

A comment inside a name splits what two readers see (user@good.example<!---->.evil.example), and canonicalization drops
it before the digest is made. No identity provider writes one, so one is enough to refuse the document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

from lxml import etree

from tunneld.policy.federation.vouched import FederationError

MAX_XML = 64 * 1024  # an assertion with a certificate and 200 groups takes 30 KiB
MAX_ELEMENTS = 5_000
MAX_DEPTH = 40  # the deepest of SAML, inside a WS-Trust envelope, has a dozen

_ENCODING = re.compile(r"""\ufeff?<\?xml[^>]*?\sencoding\s*=\s*["']([^"']*)["']""")

Element: TypeAlias = Any  # lxml has no type stubs of its own


def read_xml(raw: bytes, *, limit: int = MAX_XML) -> Element:
    """Return the root of a document. Raises FederationError("xml")."""
    if len(raw) > limit:
        raise FederationError("xml", f"larger than {limit // 1024} KiB")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise FederationError("xml", "not UTF-8") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text or "\0" in text:
        raise FederationError("xml", "a document type or an entity")
    declared = _ENCODING.match(text)
    if declared is not None and declared[1].lower() != "utf-8":
        raise FederationError("xml", "not UTF-8 by its own declaration")
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False,
        huge_tree=False, remove_comments=False, remove_pis=False, strip_cdata=False,
    )
    try:
        root = etree.fromstring(raw, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise FederationError("xml", "not well formed") from None
    _inspect(root)
    return root


def _inspect(root: Element) -> None:
    tree = root.getroottree()
    if tree.docinfo.doctype or tree.docinfo.internalDTD is not None:
        raise FederationError("xml", "a document type")
    if root.getprevious() is not None or root.getnext() is not None:
        raise FederationError("xml", "something beside the root element")
    for count, node in enumerate(root.iter()):
        if not isinstance(node.tag, str):  # comments, processing instructions and entities have a function there
            raise FederationError("xml", "a comment, a processing instruction or an entity")
        if count >= MAX_ELEMENTS:
            raise FederationError("xml", "too many elements")
        # lxml's parents are found by walking up, which is cheap as long as the document is shallow.
        if _depth(node) > MAX_DEPTH:
            raise FederationError("xml", "nested too deeply")


def _depth(node: Element) -> int:
    depth = 0
    for _ in node.iterancestors():
        depth += 1
        if depth > MAX_DEPTH:
            break
    return depth


def children(node: Element, tag: str) -> list[Element]:
    """Return the direct children of a name."""
    return [child for child in node if child.tag == tag]


def only_child(node: Element, tag: str, rule: str) -> Element:
    """Return the one direct child of a name. Raises FederationError(rule)."""
    found = children(node, tag)
    if len(found) != 1:
        raise FederationError(rule, f"{len(found)} of {local(tag)} where one is needed")
    return found[0]


def text_of(node: Element, rule: str, *, limit: int = 512) -> str:
    """Return the text of an element that holds text alone. Raises FederationError(rule)."""
    if len(node):
        raise FederationError(rule, f"{local(str(node.tag))} holds elements")
    text = (node.text or "").strip()
    if not 1 <= len(text) <= limit or any(character < " " or character == "\x7f" for character in text):
        raise FederationError(rule, f"{local(str(node.tag))} is empty, too long or has control characters")
    return text


def named(root: Element, tags: frozenset[str]) -> Iterator[Element]:
    """Return all elements of some names, wherever they hide."""
    return (node for node in root.iter() if node.tag in tags)


def local(tag: str) -> str:
    """Return a name without its namespace."""
    return tag.rpartition("}")[2]
