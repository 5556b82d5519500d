"""Rules over device attributes: the documented syntax, unknown devices, and texts that are no rule."""

from __future__ import annotations

import pytest

from tunneld.policy.conditional_access.device_filter import MAX_RULE, RuleError, check_rule, read_rule
from tunneld.policy.conditional_access.matching import device_attributes
from tunneld.policy.facts import DeviceFacts

LAPTOP = device_attributes(DeviceFacts(
    "D1", "t", "Alex's Laptop", "Windows", compliant=True, hybrid_joined=True,
    attributes={"model": "Surface Pro", "extensionAttribute1": "SAW", "trustType": "Workplace"},
))  # fmt: skip
PHONE = device_attributes(DeviceFacts("D2", "t", operating_system="iOS", attributes={"trustType": "Workplace"}))
UNKNOWN = device_attributes(None)


@pytest.mark.parametrize(
    ("rule", "laptop", "phone", "unknown"),
    [
        ("device.isCompliant -eq True", True, False, False),
        ("device.isCompliant -eq False", False, True, False),
        ("device.isCompliant -ne True", False, True, True),
        ("DEVICE.ISCOMPLIANT -EQ true", True, False, False),
        ('device.model -eq "surface PRO"', True, False, False),
        ("device.model -eq 'Surface Pro'", True, False, False),
        ('device.model -ne "Surface Pro"', False, True, True),
        ('device.model -startsWith "Surf"', True, False, False),
        ('device.model -startsWith "urf"', False, False, False),
        ('device.model -notStartsWith "Surf"', False, True, True),
        ('device.model -endsWith "Pro"', True, False, False),
        ('device.model -notEndsWith "Pro"', False, True, True),
        ('device.model -contains "face"', True, False, False),
        ('device.model -notContains "face"', False, True, True),
        ('device.operatingSystem -in ["Windows", "macOS"]', True, False, False),
        ('device.operatingSystem -notIn ["Windows"]', False, True, True),
        ('device.trustType -eq "ServerAD"', True, False, False),
        ('device.trustType -eq "Workplace"', False, True, False),
        ('device.deviceId -eq "d2"', False, True, False),
        ('device.extensionAttribute1 -eq "SAW"', True, False, False),
        ('device.isCompliant -eq True -and device.model -startsWith "Surface"', True, False, False),
        ('device.isCompliant -eq True -and device.model -startsWith "Mac"', False, False, False),
        ('device.model -eq "x" -or device.operatingSystem -eq "iOS"', False, True, False),
        # -and binds tighter than -or
        ('device.deviceId -eq "d1" -or device.deviceId -eq "d2" -and device.model -eq "x"', True, False, False),
        ('(device.deviceId -eq "d1" -or device.deviceId -eq "d2") -and device.model -eq "x"', False, False, False),
        ('-not (device.deviceId -eq "d1")', False, True, True),
        ('-not device.deviceId -eq "d1" -and device.deviceId -eq "d2"', False, True, False),
        ('device.displayName -eq ""', False, False, False),
        ('device.displayName -contains "-or"', False, False, False),
        ('  device.deviceId -eq "d1"  ', True, False, False),
    ],
)
def test_rules(rule: str, laptop: bool, phone: bool, unknown: bool) -> None:
    """A compliant laptop, a phone that is not, and a device nobody knows."""
    predicate = read_rule(rule)
    assert [predicate(device) for device in (LAPTOP, PHONE, UNKNOWN)] == [laptop, phone, unknown]


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("", "ends where"),
        ("device", "character 1"),
        ("device.", "character 1"),
        ("device.colour -eq 'red'", "no attribute colour"),
        ("device.model", "ends where operator"),
        ("device.model -like 'x'", "no operator -like"),
        ("device.model -eq", "ends where flag or text"),
        ("device.model -eq True", "a string"),
        ("device.model -eq device.model", "should be"),
        ("device.isCompliant -eq 'True'", "True or False"),
        ("device.isCompliant -startsWith True", "True or False"),
        ("device.isCompliant -in ['True']", "True or False"),
        ("device.model -in 'x'", "[ is missing"),
        ("device.model -in []", "should be"),
        ("device.model -in ['x'", "] is missing"),
        ("(device.model -eq 'x'", ") is missing"),
        ("device.model -eq 'x')", "follows the end"),
        ("device.model -eq 'x' -and", "ends where attribute"),
        ("device.model -eq 'x' device.model", "follows the end"),
        ("device.model -eq 'unclosed", "character 17"),
        ("device.model -eq 'a\x00b'", "character 17"),
        ("__import__('os').system('x')", "character 1"),
        ("(" * 40 + "device.model -eq 'x'" + ")" * 40, "levels"),
        ("-not " * 40 + "device.model -eq 'x'", "levels"),
        ("device.model -eq '" + "x" * MAX_RULE + "'", "characters"),
    ],
)
def test_what_is_no_rule(rule: str, sentence: str) -> None:
    """Each mistake has a sentence; nothing is ever executed."""
    with pytest.raises(RuleError, match=r".") as caught:
        read_rule(rule)
    assert sentence in str(caught.value)


def test_a_rule_is_kept_as_written() -> None:
    """The document shows what the administrator wrote."""
    rule = '( device.isCompliant   -eq True )'
    assert check_rule(rule) is rule
    assert read_rule("(" * 32 + "device.model -eq 'x'" + ")" * 32)({"model": "x"})
