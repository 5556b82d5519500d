"""Bytes to messages and back, without I/O: one codec a file, all with the same verbs.

`receive_data` and `receive_eof` take what arrived, `events` says what it means, `data_to_send` gives what to write.
May import `model` and nothing else of this project. Open `handshake.py` first for the proxy protocols that
applications speak, `h2/` for the tunnel.
"""
