"""The world that everybody tries tunneld in: three programs, several tenants and real applications on loopback.

May import everything but `cli`. Open `world.py` first (who and what there is), then `up.py` (how it is started)
and `story.py` (what the demo does with it).
"""
