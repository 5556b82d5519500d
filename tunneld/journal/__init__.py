"""What outlives a flow: its record, the log, and files replaced whole so that a crash never leaves half of one.

May import model and the pure core; imported by inbound and the three programs. Open `files.py` first, then `flows.py`.
"""
