"""tunneld: a private-access daemon, a mock edge and a mock identity provider for one Linux machine."""

__version__ = "0.1.0"
