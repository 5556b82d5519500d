"""The name of the program behind a live flow."""

from __future__ import annotations

import os
import socket

from tunneld.client.processes import name_processes
from tunneld.journal.flows import CLOSED, FlowRecord


def test_live_flows_get_the_name_of_whoever_holds_their_source_port() -> None:
    """This very process is found; an ended flow is left alone, for its port may be somebody else's by now."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        port = client.getsockname()[1]
        live = FlowRecord("1", "1", 0.0, "a.example", 80, source_port=port)
        ended = FlowRecord("2", "2", 0.0, "a.example", 80, source_port=port, state=CLOSED)
        unknown = FlowRecord("3", "3", 0.0, "a.example", 80)
        name_processes([live, ended, unknown])
    assert live.process is not None
    assert live.process.endswith(f"({os.getpid()})")
    assert (ended.process, unknown.process) == (None, None)
