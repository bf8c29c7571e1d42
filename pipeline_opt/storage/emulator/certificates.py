"""A certificate for Google's hosts by an authority that nobody trusts but the client that is told to, and only today."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

from pipeline_opt.storage.emulator.connection import HOSTS


def server_context(bundle: Path) -> ssl.SSLContext:
    """What ends TLS in the place of Google's hosts; the authority's certificate is written to `bundle`.

    The authority's key exists in memory only. That of the hosts is beside `bundle` for a moment: `ssl` reads keys from
    files alone.
    """
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with authority.issue_cert(*HOSTS).private_key_and_cert_chain_pem.tempfile(dir=str(bundle.parent)) as path:
        context.load_cert_chain(path)
    authority.cert_pem.write_to_path(str(bundle))
    # No client comes back with a ticket: TensorFlow's opens each connection anew.
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    return context
