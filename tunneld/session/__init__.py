"""Lifecycles as tables, switching as a plan of steps, back-off as a sequence: what a session does, without doing it.

May import only `model`. Open `switching.py` first; `client/switchboard.py` carries its plans out.
"""
