"""Who may: sign-in, token claims, key rollover, edge admission. Decisions are values that carry a `Reason`.

Pure: may import `model` only; the clock, ids and randomness are arguments. Open `sign_in.py` first.
"""
