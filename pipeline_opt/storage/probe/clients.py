"""The client that a pipeline would use for a URI."""

from __future__ import annotations

from pipeline_opt.access import ROUTES, Access
from pipeline_opt.errors import UsageError
from pipeline_opt.storage.probe.client import Client
from pipeline_opt.storage.probe.gfile_client import GFileClient
from pipeline_opt.storage.probe.local_client import LocalClient
from pipeline_opt.storage.uris import local_path


def client_of(uri: str, access: Access, via: str = "auto") -> Client:
    """The client for a URI.

    Args:
        uri: Files.
        access: How they are reached.
        via: One of `ROUTES`; `auto` leaves it to `access`.

    Raises:
        UsageError: There is no such route.
        SchemeError: The URI cannot be opened so.
    """
    route = access.via if via == "auto" else via
    if route not in ROUTES:
        raise UsageError(f"via={via!r} is not valid; valid: {', '.join(ROUTES)}")
    if route == "auto" and local_path(uri) is not None:
        return LocalClient()
    return GFileClient(uri)
