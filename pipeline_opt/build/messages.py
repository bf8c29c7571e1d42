"""TensorFlow's error messages taken apart: what happened, in which function, and what Python raised."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_NODE: Final = re.compile(r"\{\{(?:function_)?node ([^}]+)\}\}")
_TRANSFORMATION: Final = re.compile(
    r"Error in user-defined function passed to (\S+) transformation with iterator: \S+: "
)
_NODE_NOTE: Final = re.compile(r"\s*\[\[.*?\]\]")
_TAIL: Final = re.compile(r"\s*\[Op:\w+\](?: name:.*)?\s*$")
_PRODUCED: Final = re.compile(r"Function invocation produced \w+Error: ")
_RAISED: Final = re.compile(r"^\s*([A-Za-z_][\w.]*): (.*?)\s*\nTraceback \(most recent call last\):\n(.*)", re.DOTALL)
_FRAME: Final = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_OWN_FRAMES: Final = ("/tensorflow/python/", "__autograph_generated_file")


@dataclass(frozen=True)
class Raised:
    """An exception that Python code inside the pipeline raised: its type, its message, and `file:line in function`."""

    kind: str
    text: str
    where: str


@dataclass(frozen=True)
class Message:
    """A message of a TensorFlow error.

    Args:
        text: What happened, without TensorFlow's own names around it.
        transformation: The name of the dataset whose function failed, where TensorFlow says it.
        nodes: Names of the ops that it mentions, name scopes included.
        raised: What Python raised, if it was that.
    """

    text: str
    transformation: str | None
    nodes: tuple[str, ...]
    raised: Raised | None


def parse_message(message: str) -> Message:
    """Take a message apart."""
    transformation = _TRANSFORMATION.search(message)
    text = _TAIL.sub("", message)
    for noise in (_TRANSFORMATION, _NODE_NOTE, _NODE, _PRODUCED):
        text = noise.sub("", text)
    text = text.strip()
    return Message(
        text=text,
        transformation=transformation.group(1) if transformation else None,
        nodes=tuple(_NODE.findall(message)),
        raised=_raised(text),
    )


def _raised(text: str) -> Raised | None:
    match = _RAISED.match(text)
    if match is None:
        return None
    kind, said, traceback = match.groups()
    frames = _FRAME.findall(traceback)
    own = [frame for frame in frames if not any(part in frame[0] for part in _OWN_FRAMES)] or frames
    where = "{}:{} in {}".format(*own[-1]) if own else ""
    return Raised(kind, said, where)
