"""One page of a listing: names with a prefix, folded at a delimiter."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

MOST: Final = 1000
"""Entries of a page, as Google has it."""


class Page(NamedTuple):
    """Names and folded prefixes, and where the next page begins; None at the end."""

    items: list[str]
    prefixes: list[str]
    token: str | None


def page(
    names: Sequence[str], prefix: str = "", delimiter: str = "", limit: int = MOST, token: str | None = None
) -> Page:
    """The page of sorted names that `token` stands for, the first one without it.

    Raises:
        ValueError: The token is none that a page has given.
    """
    items: list[str] = []
    prefixes: list[str] = []
    at = bisect_left(names, prefix)
    last = ("", "")
    if token is not None:
        last = _decoded(token)
        at = max(at, _after(names, *last))
    while at < len(names) and names[at].startswith(prefix):
        if len(items) + len(prefixes) >= limit:
            return Page(items, prefixes, _encoded(*last))
        name = names[at]
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            items.append(name)
            last = ("name", name)
        else:
            prefixes.append(name[: cut + len(delimiter)])
            last = ("prefix", prefixes[-1])
        at = _after(names, *last)
    return Page(items, prefixes, None)


def _after(names: Sequence[str], kind: str, last: str) -> int:
    """The place of the first name that comes after an entry: a prefix stands for all names that begin with it."""
    if kind == "name":
        return bisect_right(names, last)
    at = bisect_left(names, last)
    # Names with the prefix end where its last character would be the next one; there is none after U+10FFFF.
    if ord(last[-1]) < 0x10FFFF:
        return bisect_left(names, last[:-1] + chr(ord(last[-1]) + 1), at)
    while at < len(names) and names[at].startswith(last):
        at += 1
    return at


def _encoded(kind: str, last: str) -> str:
    return base64.urlsafe_b64encode(f"{kind}:{last}".encode()).decode()


def _decoded(token: str) -> tuple[str, str]:
    try:
        kind, _, last = base64.urlsafe_b64decode(token.encode("ascii")).decode().partition(":")
    except (UnicodeError, binascii.Error) as error:
        raise ValueError(f"page token {token!r} is not valid") from error
    if kind not in ("name", "prefix") or not last:
        raise ValueError(f"page token {token!r} is not valid")
    return kind, last
