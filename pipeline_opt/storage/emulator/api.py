"""Which part of Google's API a request asks for: the JSON API for metadata, listing and changes, and the XML API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from pipeline_opt.storage.emulator import contents, metadata, uploading
from pipeline_opt.storage.emulator.messages import Answer, Request
from pipeline_opt.storage.emulator.objects import Bucket
from pipeline_opt.storage.emulator.refusals import NO_BUCKET, RefusalError, json_body, xml_body
from pipeline_opt.storage.emulator.uploads import Uploads


class Call(NamedTuple):
    """What a request asks for: its kind (see `journal.KINDS`), the URI it is about, and what answers it."""

    kind: str
    uri: str
    run: Callable[[], Answer]


class Api:
    """Answers requests about some buckets.

    Args:
        buckets: By name.
        scratch: A folder for uploads on their way.
    """

    def __init__(self, buckets: dict[str, Bucket], scratch: Path) -> None:
        self._buckets = buckets
        self._uploads = Uploads(scratch)

    def holds(self, request: Request) -> bool:
        """Whether the request is about one of the buckets, or about none at all."""
        name = _bucket_of(request.path)
        return name is None or name in self._buckets

    def call(self, request: Request) -> Call:
        """What a request asks for. It is not carried out yet; refusals are answers, too."""
        kind, uri, run = self._routed(request)
        return Call(kind, uri, lambda: _answered(request, run))

    def _routed(self, request: Request) -> tuple[str, str, Callable[[], Answer]]:
        match [request.method, *request.path.strip("/").split("/")]:
            case ["GET", "storage", "v1", "b"]:
                return "list", "gs://", lambda: metadata.buckets(list(self._buckets), request)
            case ["GET", "storage", "v1", "b", name]:
                return "stat", f"gs://{name}", lambda: metadata.bucket(self._bucket(name), request)
            case ["GET", "storage", "v1", "b", name, "storageLayout"]:
                return "stat", f"gs://{name}", lambda: metadata.layout(self._bucket(name), request)
            case ["GET", "storage", "v1", "b", name, "o"]:
                prefix = request.query.get("prefix", "")
                return "list", f"gs://{name}/{prefix}", lambda: metadata.listing(self._bucket(name), request)
            case [_, "storage", "v1", "b", name, "o", *rest]:
                return self._object(request, name, rest)
            case ["GET" | "HEAD", "download", "storage", "v1", "b", name, "o", *rest]:
                return self._content(request, name, rest)
            case ["POST" | "PUT" | "DELETE", "upload", "storage", "v1", "b", name, "o"]:
                uri = f"gs://{name}/{request.query.get('name', '')}"
                return "write", uri, lambda: uploading.upload(self._bucket(name), self._uploads, request)
            case [_, "storage" | "upload" | "download" | "batch", *_]:
                return "other", request.path, lambda: _refuse(501, f"{request.method} {request.path} is not emulated")
            case [_, name, *rest] if rest:
                return self._plain(request, name, rest)
        return "other", request.path, lambda: _refuse(501, f"{request.method} {request.path} is not emulated")

    def _object(self, request: Request, name: str, rest: list[str]) -> tuple[str, str, Callable[[], Answer]]:
        match [request.method, *rest]:
            case ["POST" | "PUT", source, "rewriteTo" | "copyTo" as verb, "b", other, "o", target]:
                whole = verb == "copyTo"
                return self._copy(request, (name, unquote(source)), (other, unquote(target)), whole=whole)
            case ["POST", target, "compose"]:
                path = unquote(target)
                run = lambda: uploading.compose(self._bucket(name), path, self._uploads, request)  # noqa: E731
                return "write", f"gs://{name}/{path}", run
        path = unquote("/".join(rest))
        uri = f"gs://{name}/{path}"
        match request.method:
            case "GET" if request.query.get("alt") == "media":
                return self._content(request, name, rest)
            case "GET":
                return "stat", uri, lambda: metadata.stat(self._bucket(name), path, request)
            case "DELETE":
                return "delete", uri, lambda: metadata.delete(self._bucket(name), path, request)
        return "other", uri, lambda: _refuse(501, f"{request.method} of an object is not emulated")

    def _copy(
        self, request: Request, source: tuple[str, str], target: tuple[str, str], *, whole: bool
    ) -> tuple[str, str, Callable[[], Answer]]:
        def run() -> Answer:
            copied = uploading.copy(
                (self._bucket(source[0]), source[1]), (self._bucket(target[0]), target[1]), self._uploads, request
            )
            return metadata.shown(copied if whole else metadata.rewritten(copied), request)

        return "write", "gs://" + "/".join(target), run

    def _content(self, request: Request, name: str, rest: list[str]) -> tuple[str, str, Callable[[], Answer]]:
        path = unquote("/".join(rest))
        return "read", f"gs://{name}/{path}", lambda: contents.content(self._bucket(name), path, request)

    def _plain(self, request: Request, name: str, rest: list[str]) -> tuple[str, str, Callable[[], Answer]]:
        """The XML API, where an object is a path."""
        path = unquote("/".join(rest))
        uri = f"gs://{name}/{path}"
        match request.method:
            case "GET":
                return self._content(request, name, rest)
            case "HEAD":
                return "stat", uri, lambda: contents.content(self._bucket(name), path, request)
            case "PUT":
                return "write", uri, lambda: uploading.put(self._bucket(name), path, self._uploads, request)
            case "DELETE":
                return "delete", uri, lambda: metadata.delete(self._bucket(name), path, request)
        return "other", uri, lambda: _refuse(501, f"{request.method} of an object is not emulated")

    def _bucket(self, name: str) -> Bucket:
        bucket = self._buckets.get(unquote(name))
        if bucket is None:
            known = ", ".join(sorted(self._buckets))
            raise RefusalError(404, f"{NO_BUCKET}: {name} (emulated here: {known})")
        return bucket


def refused(request: Request, status: int, message: str) -> Answer:
    """The answer that refuses a request, in the form of the API that it speaks to."""
    headers: tuple[tuple[str, str], ...] = (("Retry-After", "1"),) if status in (429, 503) else ()
    if request.path.lstrip("/").partition("/")[0] in ("storage", "upload", "download", "batch"):
        return Answer(
            status, (("Content-Type", "application/json; charset=UTF-8"), *headers), json_body(status, message)
        )
    return Answer(status, (("Content-Type", "application/xml; charset=UTF-8"), *headers), xml_body(status, message))


def _answered(request: Request, run: Callable[[], Answer]) -> Answer:
    try:
        return run()
    except RefusalError as refusal:
        return refused(request, refusal.status, str(refusal))


def _refuse(status: int, message: str) -> Answer:
    raise RefusalError(status, message)


def _bucket_of(path: str) -> str | None:
    match path.strip("/").split("/"):
        case ["storage", "v1", "b", name, *_]:
            return unquote(name)
        case ["upload" | "download", "storage", "v1", "b", name, *_]:
            return unquote(name)
        case ["storage" | "upload" | "download" | "batch", *_]:
            return None
        case [name, *_]:
            return unquote(name) or None
    return None
