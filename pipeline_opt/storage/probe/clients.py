"""The client that a pipeline would use for a URI."""

from __future__ import annotations

from pipeline_opt.access import Access
from pipeline_opt.storage.probe.client import Client
from pipeline_opt.storage.probe.fsspec_client import FsspecClient
from pipeline_opt.storage.probe.gfile_client import GFileClient
from pipeline_opt.storage.probe.local_client import LocalClient
from pipeline_opt.storage.routes import route


def client_of(uri: str, access: Access) -> Client:
    """The client for a URI.

    Args:
        uri: Files.
        access: How they are reached.

    Raises:
        SchemeError: The URI cannot be opened so; says what would help.
    """
    by = route(uri, access)
    if by == "local":
        return LocalClient()
    return FsspecClient(uri, access) if by == "fsspec" else GFileClient(uri)
