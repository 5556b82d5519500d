"""The `tunneld` command: one file per group of commands, each thin, none imported before it is asked for.

May import everything. Open `main.py` first: its table lists every command and where it lives.
"""
