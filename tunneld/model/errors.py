"""Exceptions for broken input and broken streams. A denial is never one: it is a value with a `Reason`."""

from __future__ import annotations

from tunneld.model.reasons import Reason


class TunneldError(Exception):
    """The root of everything this project raises on purpose."""


class ProtocolError(TunneldError):
    """A peer or a caller broke a protocol rule. Raise one of its two children."""


class LocalProtocolError(ProtocolError):
    """We misused a codec: a bug on our side."""


class PeerProtocolError(ProtocolError):
    """The peer sent bytes that its protocol forbids."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


class StreamError(TunneldError):
    """A byte stream cannot go on."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


class DocumentError(TunneldError):
    """A document (profile, settings, directory) is unusable.

    `where` names the file, `path` the place inside it (``rules[3].ports[0]`` or ``line 7``), `mend` what to do.
    The text is one line, so that a command can print it and exit with status 2.
    """

    def __init__(self, where: str, path: str, message: str, mend: str = "") -> None:
        place = f"{where}: {path}" if path else where
        super().__init__(f"{place}: {message}" + (f" ({mend})" if mend else ""))
        self.where = where
        self.path = path
        self.message = message
        self.mend = mend


class TokenError(TunneldError):
    """A token is malformed or unverifiable, before anybody judged its claims."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
