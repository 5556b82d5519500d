"""The only package that opens sockets: loops, transports, TLS contexts, dialling, listening, the relay and the mux.

May import the core (`wire`, `model`, …) and nothing above. Open `relay.py` first: every flow is two `FlowEnd`s that
call each other. `mux.py` is the HTTP/2 connection that both the daemon and the edge stand on.
"""
