"""What the pages are made of: the template's filters, cards, figures as markup, and the facts of a run."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jinja2
from markupsafe import Markup

from pipeline_opt.record import Record
from pipeline_opt.reports import units
from pipeline_opt.reports.info_table import parallelism_text
from pipeline_opt.reports.palette import cause_color, phase_color
from pipeline_opt.reports.plots import to_png, to_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST_SVG: Final = 600_000
"""Characters; a larger figure is embedded as an image, so that the page stays below 2 MB."""


_FILTERS: Final[dict[str, Callable[[Any], str]]] = {
    "seconds": units.seconds,
    "percent": units.percent,
    "number": units.number,
    "size": units.size,
    "speed": units.speed,
    "ratio": units.ratio,
    "sentence": lambda text: f"{text[:1].upper()}{text[1:]}.",
    "keep": lambda text: text.replace(" %", "\u00a0%"),
    "parallelism": parallelism_text,
    "phase_color": phase_color,
    "cause_color": cause_color,
}


class Card(NamedTuple):
    """A number that counts, with the line that says what it is."""

    label: str
    value: str
    hint: str


class Drawing(NamedTuple):
    """A figure as markup, or why there is none."""

    markup: Markup | None
    reason: str | None


def template(name: str) -> jinja2.Template:
    """A page's template; what it is given is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    return environment.get_template(name)


def run_facts(record: Record) -> tuple[tuple[str, str], ...]:
    """What a run was of: data, machine and versions, each by name."""
    source, machine = record.source, record.environment
    files = units.plural(source.files, "file") if source.files is not None else None
    data = [source.uri, files, units.size(source.bytes) if source.bytes is not None else None]
    facts = [
        ("data", ", ".join(part for part in data if part)),
        ("consumer", record.consumer.label),
        ("cores", units.number(machine.cores)),
        ("memory", f"{units.number(machine.ram_bytes / 2**30)} GiB"),
        ("TensorFlow", machine.tensorflow),
        ("Python", machine.python),
        *machine.details.items(),
        ("pipeline_opt", record.version),
        ("measured", record.created),
        ("plan fingerprint", record.fingerprint),
        ("tracing", record.trace_mode),
    ]
    if record.consumer.preset:
        facts.insert(2, ("preset", record.consumer.preset))
    return tuple((name, str(value)) for name, value in facts)


def drawing(figure: Figure, name: str, reason: str | None) -> Drawing:
    """A figure as part of a page; `name` is a word that no other figure of it has."""
    return Drawing(_figure(figure, name) if reason is None else None, reason)


def _figure(figure: Figure, name: str) -> Markup:
    """The figure as part of the page. The markup is ours: text in it is drawn as shapes, so nothing needs escaping."""
    svg = to_svg(figure, name)
    if len(svg) <= LARGEST_SVG:
        return Markup(svg)
    data: Any = base64.b64encode(to_png(figure, dpi=130)).decode("ascii")
    return Markup('<img alt="" src="data:image/png;base64,{}">').format(data)
