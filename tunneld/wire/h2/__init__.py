"""HTTP/2 for CONNECT only (RFC 9113 §8.5), sans-I/O: the codec of the tunnel and the hot path of the project.

`connection.py` is the state machine; `frames.py` the numbers; `header_block.py` the header coding; `budget.py` the
flood limits; `events.py` what comes out. It differs from a general library in three ways: DATA payload is handed on
as it arrives, before its frame is complete; frames are packed in place around bytes that the caller already holds; and
a stream is credited only when the caller says that its bytes were written on.
"""
