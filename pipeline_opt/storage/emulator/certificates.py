"""A certificate for Google's hosts by an authority that nobody trusts but the client that is told to, and only today."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

from pipeline_opt.storage.emulator.connection import HOSTS


def server_context(bundle: Path) -> ssl.SSLContext:
    """What ends TLS in the place of Google's hosts; the authority's certificate is written to `bundle`.

    The keys exist in memory only, and end with the process.
    """
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*HOSTS).configure_cert(context)
    authority.cert_pem.write_to_path(str(bundle))
    # No client comes back with a ticket: TensorFlow's opens each connection anew.
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    return context
