"""A listening Unix socket that only its owner can reach; it takes the place of a dead one, never of a live one."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

from tunneld.model.errors import DocumentError

BACKLOG = 64
MAX_PATH = 107  # sockaddr_un.sun_path is 108 bytes with its final zero (unix(7))


def listen_unix(path: Path) -> socket.socket:
    """Return a socket that listens at `path`, 0600 in a 0700 directory.

    A stale socket, which nobody listens on, is replaced. Raises DocumentError if somebody does, or if the path is
    unusable.
    """
    where = str(path)
    if len(os.fsencode(where)) > MAX_PATH:
        raise DocumentError(where, "", f"is longer than {MAX_PATH} bytes", "choose a shorter state directory")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        _clear(path)
        return _bind(path)
    except OSError as error:
        raise DocumentError(where, "", f"cannot listen there: {error.strerror}", "check the state directory") from None


def is_live(path: Path) -> bool:
    """Tell whether a program answers at `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError as error:
            # EAGAIN: its backlog is full, so somebody is there. ENOTSOCK and the like: nobody speaks here.
            return error.errno in (errno.EAGAIN, errno.ETIMEDOUT, errno.EACCES) or isinstance(error, TimeoutError)
        return True


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise DocumentError(str(path), "", "is not a socket", "move it away, or choose another state directory")
    if is_live(path):
        mend = "stop it first, or choose another state directory"
        raise DocumentError(str(path), "", "another daemon is using this state directory", mend)
    path.unlink()  # its daemon was killed before it could


def _bind(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind(os.fspath(path))
        path.chmod(0o600)  # before listen(2), so that nobody can connect while it is wider
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
