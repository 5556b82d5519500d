"""`python -m tunneld` is the same program as the `tunneld` command."""

from tunneld.cli.main import main

main()
