"""Rules over device attributes: `device.isCompliant -eq True -and device.model -startsWith "Surface"`.

Microsoft Entra: Conditional Access, filter for devices. A device that did not prove itself has no attributes: no
positive operator matches it, every negative one does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_RULE = 3072  # characters (Microsoft Entra: filter for devices)
MAX_NESTING = 32  # parentheses, a choice: far more than a rule of that length has any use for

Attributes = Mapping[str, str]  # attribute in lower case → value; true and false as words
Predicate = Callable[[Attributes], bool]

FLAGS = frozenset({"iscompliant"})
ATTRIBUTES = frozenset({
    "deviceid", "displayname", "deviceownership", "enrollmentprofilename", "iscompliant", "manufacturer", "mdmappid",
    "model", "operatingsystem", "operatingsystemversion", "physicalids", "profiletype", "systemlabels", "trusttype",
    *(f"extensionattribute{n}" for n in range(1, 16)),
})  # fmt: skip

_POSITIVE: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda have, want: have == want,
    "startswith": lambda have, want: have.startswith(want),
    "endswith": lambda have, want: have.endswith(want),
    "contains": lambda have, want: want in have,
}
_NEGATIVE = {"ne": "eq", "notstartswith": "startswith", "notendswith": "endswith", "notcontains": "contains"}

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<attribute>device\.[A-Za-z0-9]+) | (?P<operator>-[A-Za-z]+) | (?P<flag>true|false)\b
      | (?P<text>"[^"\x00-\x1f]*"|'[^'\x00-\x1f]*') | (?P<mark>[()\[\],])
    )""",
    re.VERBOSE | re.IGNORECASE,
)


class RuleError(ValueError):
    """The rule is not one that the documented syntax has."""


@dataclass(frozen=True, slots=True)
class _Token:
    sort: str
    text: str


def read_rule(rule: str) -> Predicate:
    """Return the rule as a function of a device's attributes. Raises RuleError with a sentence."""
    if len(rule) > MAX_RULE:
        raise RuleError(f"a rule has at most {MAX_RULE} characters")
    parser = _Parser(_tokens(rule))
    predicate = parser.either(0)
    parser.finish()
    return predicate


def check_rule(rule: str) -> str:
    """Return the rule unchanged if it can be read."""
    read_rule(rule)
    return rule


def _tokens(rule: str) -> list[_Token]:
    tokens: list[_Token] = []
    position, end = 0, len(rule.rstrip())
    while position < end:
        match = _TOKEN.match(rule, position)
        if match is None:
            raise RuleError(f"nothing of a rule at character {position + 1}")
        sort = str(match.lastgroup)
        tokens.append(_Token(sort, match[sort] if sort == "text" else match[sort].lower()))
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent: `-or` binds less than `-and`, `-not` and parentheses most."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def finish(self) -> None:
        if self._at < len(self._tokens):
            raise RuleError(f"{self._tokens[self._at].text!r} follows the end of the rule")

    def either(self, depth: int) -> Predicate:
        parts = [self._all_of(depth)]
        while self._took("-or"):
            parts.append(self._all_of(depth))
        return parts[0] if len(parts) == 1 else lambda device: any(part(device) for part in parts)

    def _all_of(self, depth: int) -> Predicate:
        parts = [self._one(depth)]
        while self._took("-and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else lambda device: all(part(device) for part in parts)

    def _one(self, depth: int) -> Predicate:
        if depth > MAX_NESTING:
            raise RuleError(f"more than {MAX_NESTING} levels of parentheses")
        if self._took("-not"):
            inner = self._one(depth + 1)
            return lambda device: not inner(device)
        if self._took("("):
            inner = self.either(depth + 1)
            self._expect(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Predicate:
        attribute = self._next("attribute").text.removeprefix("device.")
        if attribute not in ATTRIBUTES:
            raise RuleError(f"a device has no attribute {attribute}")
        operator = self._next("operator").text[1:]
        if operator in ("in", "notin"):
            if attribute in FLAGS:
                raise RuleError(f"{attribute} is compared with True or False")
            values = frozenset(self._list())
            return _membership(attribute, values, negative=operator == "notin")
        positive = _NEGATIVE.get(operator, operator)
        if positive not in _POSITIVE:
            raise RuleError(f"no operator -{operator}")
        return _comparison(attribute, positive, self._value(attribute, positive), negative=operator in _NEGATIVE)

    def _value(self, attribute: str, operator: str) -> str:
        token = self._next("flag", "text")
        wanted = "flag" if attribute in FLAGS else "text"
        if token.sort != wanted or (wanted == "flag" and operator != "eq"):
            raise RuleError(f"{attribute} is compared with {'True or False' if wanted == 'flag' else 'a string'}")
        return token.text if wanted == "flag" else _unquoted(token.text)

    def _list(self) -> list[str]:
        self._expect("[")
        values = [_unquoted(self._next("text").text)]
        while self._took(","):
            values.append(_unquoted(self._next("text").text))
        self._expect("]")
        return values

    def _next(self, *sorts: str) -> _Token:
        if self._at == len(self._tokens):
            raise RuleError(f"the rule ends where {' or '.join(sorts)} should be")
        token = self._tokens[self._at]
        if token.sort not in sorts:
            raise RuleError(f"{token.text!r} stands where {' or '.join(sorts)} should be")
        self._at += 1
        return token

    def _took(self, text: str) -> bool:
        took = self._at < len(self._tokens) and self._tokens[self._at].text == text
        self._at += took
        return took

    def _expect(self, text: str) -> None:
        if not self._took(text):
            raise RuleError(f"{text} is missing")


def _unquoted(text: str) -> str:
    return text[1:-1].lower()


def _comparison(attribute: str, operator: str, want: str, *, negative: bool) -> Predicate:
    compare = _POSITIVE[operator]

    def judge(device: Attributes) -> bool:
        have = device.get(attribute)
        return negative != (have is not None and compare(have, want))

    return judge


def _membership(attribute: str, values: frozenset[str], *, negative: bool) -> Predicate:
    return lambda device: negative != (device.get(attribute) in values)
