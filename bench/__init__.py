"""Benchmarks of the whole product: classification, forwarding beside its peers, and the tenant switch.

`python -m bench` runs all of them; each also runs alone (`python -m bench.forward`). Open `forward.py` first.
A measured program is always its own process; so are the load generator and the origin, whose cost is not counted.
"""
