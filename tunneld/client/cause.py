"""Which flow a request to the identity provider is made for, so that both logs carry one correlation id.

A token is fetched deep below the flow that needs it, and most requests are for no flow at all. The flow's trace is
therefore a context variable: it lives in the task that fetches, and nowhere else.
"""

from __future__ import annotations

from contextvars import ContextVar

_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)


def set_cause(correlation_id: str, flow_id: str) -> None:
    """Let the current task act for a flow from here on (W3C Trace Context §3.2)."""
    _traceparent.set(f"00-{correlation_id}-{flow_id}-01")


def cause_headers() -> dict[str, str]:
    """Return the header that names the flow which the current task acts for, if there is one."""
    value = _traceparent.get()
    return {} if value is None else {"traceparent": value}
