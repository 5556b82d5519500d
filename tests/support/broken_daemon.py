"""A daemon with one deliberate defect: it ends broken flows with FIN instead of RST.

`python -m tests.support.broken_daemon run --config FILE`. A checker that does not catch this one catches nothing.
"""

from __future__ import annotations

from tunneld.cli.main import main
from tunneld.net import attach

if __name__ == "__main__":
    vars(attach)["_RESET_ON_CLOSE"] = vars(attach)["_FIN_ON_CLOSE"]
    main()
