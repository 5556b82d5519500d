"""The order of TLS 1.3 cipher suites, which Python 3.11 has no call for.

AES-128-GCM costs a third less than OpenSSL's first choice, AES-256-GCM, and is what Go, BoringSSL and so Envoy
take first. OpenSSL itself reads the order from its configuration, so that is what it gets: a configuration module is
loaded through the public function `CONF_modules_load_file` of the very library that the `ssl` module uses. Where that
does not work (OpenSSL linked statically, another TLS library) nothing changes, and the caller is told.
"""

from __future__ import annotations

import ctypes
import importlib
import ssl
import tempfile

PREFERRED = "TLS_AES_128_GCM_SHA256"

# `system_default` applies to every context made afterwards. The first two lines restate Debian's defaults, because
# loading a section replaces the one that the system's own file set.
_CONFIGURATION = f"""\
tunneld = modules
[modules]
ssl_conf = commands
[commands]
system_default = defaults
[defaults]
MinProtocol = TLSv1.2
CipherString = DEFAULT:@SECLEVEL=2
Ciphersuites = {PREFERRED}:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256
"""


def prefer_aes_128() -> bool:
    """Make contexts built from now on in this process prefer AES-128-GCM, and tell whether they do."""
    if preferred_suite() == PREFERRED:
        return True
    location = getattr(importlib.import_module("_ssl"), "__file__", None)
    if location is None:  # built into the interpreter: no library to ask
        return False
    try:
        # Looking a name up in the ssl module's own file finds it in the libcrypto that this file is linked with.
        load = ctypes.CDLL(location).CONF_modules_load_file
    except (OSError, AttributeError):
        return False
    load.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong)
    load.restype = ctypes.c_int
    with tempfile.NamedTemporaryFile("w", suffix=".cnf") as file:
        file.write(_CONFIGURATION)
        file.flush()
        load(file.name.encode(), b"tunneld", 0)
    return preferred_suite() == PREFERRED


def preferred_suite() -> str:
    """Return the suite that a context built now would choose first."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).get_ciphers()[0]["name"]
