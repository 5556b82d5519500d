"""Which local program holds the other end of an accepted connection.

The kernel answers this only through /proc: one file with all sockets, then every descriptor of every process. That
is milliseconds, so it is asked when a record is shown, never when a flow is opened.
"""

from __future__ import annotations

import os
import socket
import struct
from ipaddress import ip_address
from pathlib import Path

_PROC = Path("/proc")
_ESTABLISHED_OR_CLOSING = frozenset({"01", "04", "05", "08"})  # ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT


def process_at(address: str, port: int) -> str | None:
    """Return `name(pid)` of the process whose socket is bound to `address`:`port`, None if nobody can tell."""
    inode = _find_inode(_encode(address), port)
    return None if inode is None else _find_owner(f"socket:[{inode}]")


def _encode(address: str) -> str:
    """Return `address` as /proc/net/tcp writes it: 32-bit words in the machine's byte order, in hexadecimal."""
    packed = ip_address(address).packed
    return "".join(f"{word:08X}" for word in struct.unpack(f"={len(packed) // 4}I", packed))


def _find_inode(address: str, port: int) -> str | None:
    local = f"{address}:{port:04X}"
    mapped = f"0000000000000000{socket.htonl(0xFFFF):08X}{local}"  # an IPv4 client on a dual-stack socket
    for name, wanted in (("tcp", local), ("tcp6", local), ("tcp6", mapped)):
        try:
            lines = (_PROC / "net" / name).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[1] == wanted and fields[3] in _ESTABLISHED_OR_CLOSING and fields[9] != "0":
                return fields[9]
    return None


def _find_owner(link: str) -> str | None:
    for pid in os.listdir(_PROC):
        if not pid.isdigit():
            continue
        folder = _PROC / pid
        try:
            if any(os.readlink(folder / "fd" / fd) == link for fd in os.listdir(folder / "fd")):
                return f"{(folder / 'comm').read_text('utf-8', 'replace').strip()}({pid})"
        except OSError:
            continue  # it ended, or it belongs to somebody else
    return None
