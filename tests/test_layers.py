"""Imports point down only, and the heavy libraries stay in their rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pipeline_opt"

LAYERS = (
    ("errors", "lazy", "bounds"),
    ("version", "clock", "names", "interrupts"),
    ("functions",),
    ("access",),
    ("sources", "stages"),
    ("plan", "record"),
    ("order", "text", "machine", "accounting", "record_checks", "variants"),
    ("optimizer", "record_codec"),
    ("runfile", "summary"),
    ("storage",),
    ("build",),
    ("ingest",),
    ("synth",),
    ("profiler",),
    ("tuner",),
    ("reports",),
    ("benchmark",),
    ("pipeline", "run"),
    ("optimized", "probes"),
    ("api",),
    ("__init__",),
    ("cli",),
    ("__main__",),
)
"""From the bottom up. A room imports from rooms below it, and from itself."""

LIBRARIES = {
    "tensorflow": {"build", "ingest", "profiler", "storage", "synth", "trainers", "tuner"},
    "pandas": {"reports/table.py"},
    "matplotlib": {"reports/plots", "reports/page.py"},
    "typer": {"cli"},
}
"""Where a library may be named: a room, or the beginning of a path."""

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def height(room: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if room in layer)


def imports(path: Path) -> list[tuple[str, bool]]:
    """Modules that a file imports or stands in for lazily, and whether it does so inside a function."""
    tree = ast.parse(path.read_text())
    inside = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "pipeline_opt" else [base]
            found += [(name, id(node) in inside) for name in names]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "lazy_module":
            found += [(str(argument.value), False) for argument in node.args if isinstance(argument, ast.Constant)]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    for module, inside in imports(path):
        if module == "pipeline_opt" or not module.startswith("pipeline_opt."):
            continue
        other = module.split(".")[1]
        assert not inside, f"{path.name} imports {module} inside a function"
        assert other == room or height(other) < height(room), f"{path.name} ({room}) imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    place = str(path.relative_to(PACKAGE))
    tree = ast.parse(path.read_text())
    for_types_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    named = {
        (alias.name if isinstance(node, ast.Import) else node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in for_types_only
        for alias in node.names
    } | {module.split(".")[0] for module, _ in imports(path) if "lazy" in path.read_text() and module == "tensorflow"}
    for library, rooms in LIBRARIES.items():
        if library in named:
            assert room_of(path) in rooms or any(place.startswith(room) for room in rooms), f"{place} names {library}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{path.name}: {node.name}"


def test_no_exit_or_print_outside_the_command_line() -> None:
    for path in FILES:
        if room_of(path) == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "sys.exit", "exit", "os._exit"), f"{path}: {called}"


def test_importing_the_package_is_light() -> None:
    check = "import sys, pipeline_opt; print([m for m in ('tensorflow', 'pandas', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_sorted_and_there() -> None:
    import pipeline_opt

    assert pipeline_opt.__all__ == sorted(pipeline_opt.__all__, key=lambda n: (n.startswith("_"), n)) or (
        sorted(pipeline_opt.__all__) == pipeline_opt.__all__
    )
    for name in pipeline_opt.__all__:
        assert getattr(pipeline_opt, name) is not None
