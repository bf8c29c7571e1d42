"""The options that say how files are reached, and pipelines that reach theirs so."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pipeline_opt.access import Access
from pipeline_opt.errors import UsageError
from pipeline_opt.names import nearest_name
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.sources import FileSource

_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(|k|m|g|ki|mi|gi)b?", re.IGNORECASE)
_SETTINGS: Final = tuple(field.name for field in dataclasses.fields(Access) if field.name not in ("via", "options"))
_WORDS: Final = {"true": True, "false": False}


def access_settings(via: str | None, settings: Sequence[str] | None) -> dict[str, Any]:
    """What the options say of access, by the names of `Access`.

    Args:
        via: What `--via` says.
        settings: What `--access` says, each `NAME=VALUE` or `options.NAME=VALUE`.

    Raises:
        UsageError: One is not valid; says what would be.
        KnobError: A value is out of range.
    """
    given: dict[str, Any] = {} if via is None else {"via": via}
    options: dict[str, Any] = {}
    for setting in settings or ():
        name, equals, text = setting.partition("=")
        if not equals or not text or not (name in _SETTINGS or re.fullmatch(r"options\.\w+", name)):
            hint = nearest_name(name, _SETTINGS)
            raise UsageError(
                f"--access {setting!r} is not valid; valid: NAME=VALUE, NAME one of {', '.join(_SETTINGS)}, options.NAME{hint}"
            )
        if name in _SETTINGS:
            given[name] = _number(name, text)
        else:
            options[name.removeprefix("options.")] = _value(text)
    given |= {"options": options} if options else {}
    # Made to check the values.
    assert Access(**given)
    return given


def wanted_access(config: Path | None, targets: Sequence[str], settings: Mapping[str, Any]) -> Access:
    """What is known of access before TensorFlow is loaded: what a plan file says, and the settings over it.

    Raises:
        ConfigError: The plan file cannot be read.
    """
    file = config or next((Path(target) for target in targets if target.endswith(".toml")), None)
    source = None if file is None else Pipeline.from_config(file).source
    said = source.access if isinstance(source, FileSource) else Access()
    return dataclasses.replace(said, **settings)


def reached(plan: Plan, settings: Mapping[str, Any]) -> Plan:
    """The plan, every file of which is reached as the settings say; what they leave out stays as it is.

    Raises:
        UsageError: There are settings, and the plan reads no files of its own.
    """
    if not settings:
        return plan
    if isinstance(plan.source, Combination):
        inner = tuple(reached(part, settings) for part in plan.source.plans)
        return dataclasses.replace(plan, source=dataclasses.replace(plan.source, plans=inner))
    if not isinstance(plan.source, FileSource):
        raise UsageError(f"--via and --access go with files that the plan names, not with {plan.source.kind}")
    access = dataclasses.replace(plan.source.access, **settings)
    return dataclasses.replace(plan, source=dataclasses.replace(plan.source, access=access))


def reached_pipeline(pipeline: Pipeline, settings: Mapping[str, Any]) -> Pipeline:
    """The same for a pipeline."""
    return Pipeline.of(reached(pipeline, settings))


def _number(name: str, text: str) -> int | float:
    found = _SIZE.fullmatch(text.strip())
    if found is None or (found[2] and not name.endswith("_bytes")):
        raise UsageError(f"--access {name}={text!r} is not valid; valid: a number, of bytes also as 4MiB or 4MB")
    value = float(found[1]) * _UNITS[found[2].lower()]
    return int(value) if value.is_integer() and name != "timeout_s" else value


def size_of(option: str, text: str) -> int:
    """The bytes that an option says, 4GiB say.

    Raises:
        UsageError: It says something else.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{option}={text!r} is not valid; valid: a number of bytes, also as 4GiB or 500MB")
    return int(float(found[1]) * _UNITS[found[2].lower()])


def _value(text: str) -> Any:
    """An option of a file system: a truth value or a number where it reads as one."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text
