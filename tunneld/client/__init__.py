"""The daemon: who is signed in, which tenant is active, and the tunnels, listener and control socket that follow.

May import everything below it but never `edge` or `idp`: they are other machines. Open `daemon.py` first.
"""
