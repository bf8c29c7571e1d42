"""Answers to requests that make objects: uploads at once and in parts, copies, compositions."""

from __future__ import annotations

import ast
import json
import shutil
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline_opt.storage.emulator.messages import Answer, Request
from pipeline_opt.storage.emulator.metadata import Resource, require, shown
from pipeline_opt.storage.emulator.objects import Bucket
from pipeline_opt.storage.emulator.refusals import RefusalError
from pipeline_opt.storage.emulator.resources import object_resource
from pipeline_opt.storage.emulator.uploads import Uploads


def upload(of: Bucket, uploads: Uploads, request: Request) -> Answer:
    """Take an upload, or a part of one."""
    number = request.query.get("upload_id")
    if number is not None:
        return _part(uploads, number, request)
    of.require_writable()
    match request.query.get("uploadType"):
        case "media":
            return _whole(of, _name_of(request), uploads, request)
        case "multipart":
            return _multipart(of, uploads, request)
        case "resumable":
            return _begun(of, uploads, request)
    raise RefusalError(400, "uploadType must be media, multipart or resumable")


def put(of: Bucket, name: str, uploads: Uploads, request: Request) -> Answer:
    """Make an object of the content of a request to the XML API."""
    answer = _whole(of, name, uploads, request)
    return Answer(answer.status, answer.headers)


def copy(source: tuple[Bucket, str], target: tuple[Bucket, str], uploads: Uploads, request: Request) -> Resource:
    """Copy an object; returns the metadata of the copy."""
    target[0].require_writable()
    require(target[0].find(target[1]), request)
    stream, _ = source[0].open(source[1])
    with stream, uploads.scratch_file() as path:
        with path.open("wb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)
        blob = target[0].put(target[1], path)
    return object_resource(target[0].name, blob, request.base)


def compose(of: Bucket, name: str, uploads: Uploads, request: Request) -> Answer:
    """Make an object of several, one after another."""
    of.require_writable()
    require(of.find(name), request)
    sources = _parsed(request.body.read()).get("sourceObjects", [])
    with uploads.scratch_file() as path:
        with path.open("wb") as file:
            for source in sources:
                stream, blob = of.open(str(source["name"]))
                wanted = source.get("objectPreconditions", source.get("objectPrecondition", {})).get(
                    "ifGenerationMatch"
                )
                with stream:
                    if wanted is not None and str(wanted) != str(blob.generation):
                        raise RefusalError(412, f"{blob.name} has the generation {blob.generation}, not {wanted}")
                    shutil.copyfileobj(stream, file, 1 << 20)
        return shown(object_resource(of.name, of.put(name, path), request.base), request)


def _begun(of: Bucket, uploads: Uploads, request: Request) -> Answer:
    name = request.query.get("name")
    body = request.body.read()
    if name is None:
        name = _parsed(body).get("name")
    if not name:
        raise RefusalError(400, "Required parameter: name")
    require(of.find(name), request)
    number = uploads.begin(of, name)
    place = f"{request.base}/upload/storage/v1/b/{of.name}/o?uploadType=resumable&name={quote(name, safe='')}"
    return Answer(200, (("Location", f"{place}&upload_id={number}"), ("X-GUploader-UploadID", number)))


def _part(uploads: Uploads, number: str, request: Request) -> Answer:
    if request.method == "DELETE":
        uploads.cancel(number)
        return Answer(499)
    going = uploads.find(number)
    progress = going.take(request.body, request.headers.get("content-range"))
    if progress.blob is not None:
        return shown(object_resource(going.bucket.name, progress.blob, request.base), request)
    known = (("Range", f"bytes=0-{progress.received - 1}"),) if progress.received else ()
    return Answer(308, known)


def _whole(of: Bucket, name: str, uploads: Uploads, request: Request) -> Answer:
    require(of.find(name), request)
    of.require_writable()
    with uploads.scratch_file() as path:
        with path.open("wb") as file:
            for piece in request.body.pieces():
                file.write(piece)
        return shown(object_resource(of.name, of.put(name, path), request.base), request)


def _multipart(of: Bucket, uploads: Uploads, request: Request) -> Answer:
    """Metadata and content in one request, between lines that its header names."""
    kind = Message()
    kind["content-type"] = request.headers.get("content-type", "")
    boundary = str(kind.get_param("boundary", ""))
    parts = (b"\r\n" + request.body.read()).split(b"\r\n--" + boundary.encode("latin-1"))
    if not boundary or len(parts) != 4:
        raise RefusalError(400, "a multipart upload has two parts: metadata and content")
    described, content = (part.partition(b"\r\n\r\n")[2] for part in parts[1:3])
    name = request.query.get("name") or _parsed(described).get("name")
    if not name:
        raise RefusalError(400, "Required parameter: name")
    require(of.find(name), request)
    with uploads.scratch_file() as path:
        Path(path).write_bytes(content)
        return shown(object_resource(of.name, of.put(name, path), request.base), request)


def _name_of(request: Request) -> str:
    name = request.query.get("name")
    if not name:
        raise RefusalError(400, "Required parameter: name")
    return name


def _parsed(body: bytes) -> dict[str, Any]:
    """A JSON object. TensorFlow writes one with single quotes, which Google reads as well."""
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        try:
            value = ast.literal_eval(body.decode())
        except (ValueError, SyntaxError) as error:
            raise RefusalError(400, "Parse Error") from error
    if not isinstance(value, dict):
        raise RefusalError(400, "Parse Error")
    return value
