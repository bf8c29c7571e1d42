"""Buckets and objects as Google's JSON API shows them, and the part of one that a client asks for."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote

from pipeline_opt.storage.emulator.objects import Blob
from pipeline_opt.storage.emulator.refusals import RefusalError

LOCATION: Final = "US"
_FIELD: Final = re.compile(r"[A-Za-z*][A-Za-z0-9_*-]*|[/(),]")

Fields = dict[str, Any]
"""Names that are wanted, each with those wanted within; none within are all."""


def bucket_resource(name: str, base: str) -> dict[str, Any]:
    """A bucket's metadata; `base` is the address of the server."""
    return {
        "kind": "storage#bucket",
        "id": name,
        "selfLink": f"{base}/storage/v1/b/{name}",
        "projectNumber": "0",
        "name": name,
        "timeCreated": "2024-01-01T00:00:00.000Z",
        "updated": "2024-01-01T00:00:00.000Z",
        "metageneration": "1",
        "location": LOCATION,
        "locationType": "multi-region",
        "storageClass": "STANDARD",
        "etag": "CAE=",
    }


def layout_resource(name: str) -> dict[str, Any]:
    """How a bucket keeps its objects: folders are a part of their names."""
    return {
        "kind": "storage#storageLayout",
        "bucket": name,
        "location": LOCATION,
        "locationType": "multi-region",
        "hierarchicalNamespace": {"enabled": False},
    }


def object_resource(bucket: str, blob: Blob, base: str) -> dict[str, Any]:
    """An object's metadata; `base` is the address of the server."""
    name, generation = quote(blob.name, safe=""), str(blob.generation)
    return {
        "kind": "storage#object",
        "id": f"{bucket}/{blob.name}/{generation}",
        "selfLink": f"{base}/storage/v1/b/{bucket}/o/{name}",
        "mediaLink": f"{base}/download/storage/v1/b/{bucket}/o/{name}?generation={generation}&alt=media",
        "name": blob.name,
        "bucket": bucket,
        "generation": generation,
        "metageneration": "1",
        "contentType": "application/octet-stream",
        "storageClass": "STANDARD",
        "size": str(blob.size),
        "timeCreated": blob.updated,
        "updated": blob.updated,
        "etag": f"G{generation}",
    }


def parse_fields(text: str) -> Fields:
    """What a `fields` parameter wants: `items/name,nextPageToken` or `items(name,size)`.

    Raises:
        RefusalError: It is not valid.
    """
    tokens = _FIELD.findall(text)
    if "".join(tokens) != text.replace(" ", ""):
        raise RefusalError(400, f"Invalid field selection {text}")
    wanted, rest = _fields(tokens)
    if rest:
        raise RefusalError(400, f"Invalid field selection {text}")
    return wanted


def select(value: Any, wanted: Fields) -> Any:
    """The part of a resource that is wanted."""
    if not wanted or "*" in wanted:
        return value
    if isinstance(value, list):
        return [select(each, wanted) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: select(part, wanted[name]) for name, part in value.items() if name in wanted}


def _fields(tokens: list[str]) -> tuple[Fields, list[str]]:
    wanted: Fields = {}
    while tokens and tokens[0] not in "/(),":
        name, tokens = tokens[0], tokens[1:]
        within = wanted.setdefault(name, {})
        while tokens[:1] == ["/"] and len(tokens) > 1:
            within, tokens = within.setdefault(tokens[1], {}), tokens[2:]
        if tokens[:1] == ["("]:
            inner, tokens = _fields(tokens[1:])
            within.update(inner)
            if tokens[:1] != [")"]:
                return wanted, ["("]
            tokens = tokens[1:]
        if tokens[:1] != [","]:
            break
        tokens = tokens[1:]
    return wanted, tokens
