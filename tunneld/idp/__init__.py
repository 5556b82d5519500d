"""The mock identity provider: sign-in pages, OpenID Connect endpoints, enrolment, and a small directory API.

May import `net`, `journal` and the core. Open `server.py` (how it starts) or `application.py` (which URL goes where).
"""
