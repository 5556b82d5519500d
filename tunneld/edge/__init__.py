"""The mock edge: terminates tunnels, judges every session, token and flow, and dials the private applications.

May import net, journal and the pure core, never client or idp: those are other machines. Open `settings.py` first,
then `tenant.py`.
"""
