"""Answers of the JSON API about buckets and objects: metadata, listing, deleting."""

from __future__ import annotations

import json
from typing import Any

from pipeline_opt.storage.emulator.messages import Answer, Request
from pipeline_opt.storage.emulator.objects import Blob, Bucket
from pipeline_opt.storage.emulator.pages import MOST, page
from pipeline_opt.storage.emulator.refusals import RefusalError
from pipeline_opt.storage.emulator.resources import (
    bucket_resource,
    layout_resource,
    object_resource,
    parse_fields,
    select,
)

Resource = dict[str, Any]


def shown(resource: Resource, request: Request) -> Answer:
    """A resource as JSON, as much of it as the request's `fields` wants."""
    wanted = parse_fields(request.query.get("fields", ""))
    body = json.dumps(select(resource, wanted), separators=(",", ":")).encode()
    return Answer(200, (("Content-Type", "application/json; charset=UTF-8"),), body)


def buckets(names: list[str], request: Request) -> Answer:
    """The buckets that there are."""
    items = [bucket_resource(name, request.base) for name in sorted(names)]
    return shown({"kind": "storage#buckets", "items": items}, request)


def bucket(of: Bucket, request: Request) -> Answer:
    """A bucket's metadata."""
    return shown(bucket_resource(of.name, request.base), request)


def layout(of: Bucket, request: Request) -> Answer:
    """How a bucket keeps its objects: TensorFlow asks before it renames a folder."""
    return shown(layout_resource(of.name), request)


def stat(of: Bucket, name: str, request: Request) -> Answer:
    """An object's metadata."""
    blob = of.stat(name)
    require(blob, request)
    return shown(object_resource(of.name, blob, request.base), request)


def delete(of: Bucket, name: str, request: Request) -> Answer:
    """Remove an object."""
    require(of.find(name), request)
    of.delete(name)
    return Answer(204)


def listing(of: Bucket, request: Request) -> Answer:
    """A page of objects' metadata. Where only their names are wanted, no file is looked at."""
    query = request.query
    token = query.get("pageToken")
    try:
        limit = min(int(query.get("maxResults", MOST)), MOST)
        names = of.names(fresh=token is None)
        found = page(names, query.get("prefix", ""), query.get("delimiter", ""), max(limit, 1), token or None)
    except ValueError as error:
        raise RefusalError(400, str(error)) from error
    wanted = parse_fields(query.get("fields", ""))
    if set(wanted.get("items", {})) == {"name"}:
        items = [{"name": name} for name in found.items]
    else:
        blobs = [blob for name in found.items if (blob := of.find(name)) is not None]
        items = [object_resource(of.name, blob, request.base) for blob in blobs]
    resource: Resource = {"kind": "storage#objects"}
    # Google leaves out what is empty.
    parts = {"nextPageToken": found.token, "prefixes": found.prefixes, "items": items}
    return shown(resource | {name: part for name, part in parts.items() if part}, request)


def rewritten(resource: Resource) -> Resource:
    """What a rewrite answers, which is done at once here."""
    size = resource["size"]
    done: Resource = {"kind": "storage#rewriteResponse", "totalBytesRewritten": size, "objectSize": size, "done": True}
    return done | {"resource": resource}


def require(blob: Blob | None, request: Request) -> None:
    """Check the generations under which the request is to be carried out.

    Raises:
        RefusalError: They do not hold, 412.
    """
    actual = 0 if blob is None else blob.generation
    match = request.query.get("ifGenerationMatch", request.headers.get("x-goog-if-generation-match"))
    other = request.query.get("ifGenerationNotMatch")
    if (match is not None and match != str(actual)) or (other is not None and other == str(actual)):
        raise RefusalError(412, "At least one of the pre-conditions you specified did not hold.")
