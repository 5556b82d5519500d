"""The frozen vocabulary that every program shares: addresses, verdicts, reasons, claims, errors.

May import nothing of this project. Open `verdict.py` first, then `reasons.py`.
"""
