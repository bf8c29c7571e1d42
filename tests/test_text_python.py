"""Plans as plain tf.data code: layout, functions written out, refusals. No TensorFlow here."""

from __future__ import annotations

import ast
import functools
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_opt.errors import FunctionError, PlanError
from pipeline_opt.functions import Function
from pipeline_opt.plan import Plan, Zip
from pipeline_opt.sources import Csv, FileSource, Images, OpaqueDataset, ResolvedSource, Tensors, TextLines, TFRecords
from pipeline_opt.stages import (
    Batch,
    Cache,
    Interleave,
    Map,
    OpaqueStage,
    Options,
    Prefetch,
    Repeat,
    Shuffle,
    Stage,
    Take,
)
from pipeline_opt.text import to_python
from pipeline_opt.text.code.layout import dedent, indent

GOLDEN = Path(__file__).parent / "golden"
FACTOR = 3
OFFSET = 0.5
TABLE = OrderedDict(a=1)


def listed(source: FileSource) -> ResolvedSource:
    files = tuple(path.replace("*", str(n)) for path in source.paths for n in range(2))
    labels = tuple(range(len(files))) if isinstance(source, Images) else None
    return ResolvedSource(files, labels, compression="GZIP" if isinstance(source, TFRecords) else "")


def text(*stages: Stage) -> Plan:
    return Plan(TextLines(paths=("data/part-*.txt",)), stages)


def code(plan: Plan) -> str:
    written = to_python(plan, listed)
    ast.parse(written)
    assert "pipeline_opt" not in written
    return written


def mapped(function: Any, **arguments: Any) -> str:
    """The script of a plan with one map."""
    return code(text(Map(function=Function.of(function, **arguments))))


def run(function: Any, *elements: Any) -> Any:
    """The result of the function that the script of a plan with one map passes to `map`."""
    written = mapped(function)
    tree = ast.parse(written)
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "ds.map"]
    kept = [n for n in tree.body if "tensorflow" not in ast.unparse(n) and not isinstance(n, ast.If)]
    scope: dict[str, Any] = {}
    exec(compile(ast.Module(kept, []), "script", "exec"), scope)
    return eval(ast.unparse(calls[0].args[0]), scope)(*elements)


def usual() -> Plan:
    return Plan(
        TFRecords(paths=("data/train-*.tfrecord",)),
        (
            Shuffle(buffer_size=64, seed=3),
            Interleave(cycle_length=8),
            Map(
                name="decode",
                function=Function.of("records:decode", size=224, schema={"label": "int64", "image": None}),
            ),
            Map(function=Function.of("user/augment.py:flip"), num_parallel_calls=None, deterministic=True),
            Cache(),
            Repeat(),
            Batch(batch_size=32, drop_remainder=True),
            Options(private_threadpool_size=4, autotune=False),
            Prefetch(),
        ),
    )


def test_the_script_is_the_golden_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert code(usual()) == (GOLDEN / "usual.py.txt").read_text()


def test_plans_inside_the_source_become_parts() -> None:
    plan = Plan(Zip(plans=(text(Take(count=3)), Plan(Images(paths=("cats/*.jpg",)), (Interleave(cycle_length=4),)))))
    assert code(plan) == (GOLDEN / "nested.py.txt").read_text()


def test_a_simple_glob_is_listed_anew() -> None:
    assert "files = sorted(tf.io.gfile.glob('data/part-*.txt'))" in code(text())


NOT_LISTED_ANEW = ["data/*.txt", "data/part-*", "da*/part-*.txt", "data/**/part-*.txt", "part-?.txt", "~/part-*.txt"]


@pytest.mark.parametrize("path", NOT_LISTED_ANEW)
def test_a_glob_that_could_match_something_else_is_not(path: str) -> None:
    assert "glob" not in code(Plan(TextLines(paths=(path,))))


def test_files_that_the_glob_would_not_give_are_named() -> None:
    def other(source: FileSource) -> ResolvedSource:
        return ResolvedSource(("data/part-1.txt/inner.txt.x",))

    assert "files = ['data/part-1.txt/inner.txt.x']" in to_python(text(), other)


def test_the_header_of_a_csv_file_is_left_out_file_by_file() -> None:
    csv = Csv(paths=("a.csv",))
    assert "ds.flat_map(lambda path: tf.data.TextLineDataset(path).skip(1))" in code(Plan(csv))
    assert "ds.interleave(\n        lambda path: tf.data.TextLineDataset(path).skip(1)," in code(
        Plan(csv, (Interleave(),))
    )
    assert "ds = tf.data.TextLineDataset(files)\n" in code(Plan(Csv(paths=("a.csv",), header=False)))


def test_running_a_script_that_never_ends_looks_at_the_first_elements() -> None:
    assert "for _ in make_dataset().take(1000)))" in code(text(Repeat()))
    assert "for _ in make_dataset()))" in code(text(Repeat(), Take(count=3)))
    assert "for _ in make_dataset()))" in code(Plan(Zip(plans=(text(Repeat()), text()))))


# Functions by reference.


def test_a_function_with_a_reference_is_imported_once() -> None:
    twice = text(Map(function=Function.of("records:decode")), Map(function=Function.of("records:decode", size=3)))
    written = code(twice)
    assert written.count("from records import decode\n") == 1
    assert "ds.map(functools.partial(decode, size=3)" in written


def test_names_that_would_hide_others_are_imported_under_another() -> None:
    functions = ("one:decode", "two:decode", "one:ds", "one:sorted", "one:Steps.run")
    written = code(text(*(Map(function=Function.of(ref)) for ref in functions)))
    for line in ("one import decode", "two import decode as decode_2", "one import ds as ds_2"):
        assert f"from {line}\n" in written
    assert "from one import sorted as sorted_2\n" in written
    assert "ds.map(Steps.run, " in written


def test_a_file_is_loaded_once(tmp_path: Path) -> None:
    ref = f"{tmp_path}/user-file.py"
    written = code(text(Map(function=Function.of(f"{ref}:one")), Map(function=Function.of(f"{ref}:two"))))
    assert written.count(f"_user_file = _load_file('{ref}')\n") == 1
    assert "ds.map(_user_file.one, " in written
    assert "ds.map(_user_file.two, " in written


# Functions written out.


def helper(number: int) -> int:
    return number * FACTOR


def uses_helper(number: int, offset: int = FACTOR * 2) -> int:
    """Multiply."""
    note = """
a string
    of lines
"""
    return helper(number) + offset + len(note)


def even(number: int) -> bool:
    return number == 0 or odd(number - 1)


def odd(number: int) -> bool:
    return number != 0 and even(number - 1)


def shadows(TABLE: int) -> int:
    return TABLE + 1


def counts(number: int) -> int:
    global FACTOR
    FACTOR += 1
    return number


def plus_one(function: Any) -> Any:
    @functools.wraps(function)
    def more(number: int) -> int:
        return int(function(number)) + 1

    return more


@plus_one
def decorated(number: int) -> int:
    return number * 10


def closure(size: int) -> Any:
    def grow(number: int, times: int = size + 1) -> int:
        return number * size * times

    return grow


def countdown() -> Any:
    def down(number: int) -> int:
        return 0 if number < 1 else down(number - 1)

    return down


def ping_pong() -> Any:
    def ping(number: int) -> int:
        return number if number < 1 else int(pong(number - 1))

    def pong(number: int) -> int:
        return ping(number)

    return ping


def uses_local_class() -> Any:
    class Local:
        pass

    return lambda x: Local()


PAIR = (lambda x: x + 1, lambda x: (lambda y: y * 2)(x))


def test_lambdas_on_one_line_are_told_apart() -> None:
    assert "ds.map(lambda x: x + 1, " in mapped(PAIR[0])
    assert "ds.map(lambda x: (lambda y: y * 2)(x), " in mapped(PAIR[1])
    inner = (lambda x: lambda y: (x, y))(5)
    assert run(inner, 2) == (5, 2)


def test_a_lambda_keeps_what_it_uses() -> None:
    size = 7
    assert run(lambda x: x * size + FACTOR, 2) == 2 * 7 + 3
    assert run(lambda x: helper(x) + abs(-1), 2) == 7


def test_the_value_that_a_default_had_is_kept() -> None:
    late = [lambda x, n=n: x + n for n in (1, 2)]
    assert [run(function, 0) for function in late] == [1, 2]


def test_a_function_is_written_out_with_what_it_uses() -> None:
    assert run(uses_helper, 2) == uses_helper(2)
    written = mapped(uses_helper)
    assert "\n\ndef helper(number: int) -> int:\n    return number * FACTOR\n" in written
    assert '    note = """\na string\n    of lines\n"""\n' in written
    assert "offset: int = 6" in written


def test_lines_that_stand_alone_stand_together() -> None:
    plan = text(*(Map(function=Function.of(f)) for f in (lambda x: x + FACTOR, lambda x: x + OFFSET)))
    assert "\n\n\nFACTOR = 3\nOFFSET = 0.5\n\n\ndef make_dataset" in code(plan)


def test_functions_that_call_each_other_are_written_out() -> None:
    assert run(even, 4) is True
    assert run(countdown(), 3) == 0


def test_a_closure_gets_a_function_of_its_own() -> None:
    plan = text(Map(function=Function.of(closure(2))), Map(function=Function.of(closure(5))))
    written = code(plan)
    assert "_make_grow()" in written
    assert "_make_grow_2()" in written
    assert [run(closure(size), 3) for size in (2, 5)] == [3 * 2 * 3, 3 * 5 * 6]


def test_a_parameter_that_hides_a_variable_does_not_bring_it_along() -> None:
    assert run(shadows, 1) == 2
    assert "OrderedDict" not in mapped(shadows)


def test_a_decorated_function_is_decorated_once() -> None:
    assert run(decorated, 2) == 21


def test_a_partial_keeps_its_arguments() -> None:
    assert run(functools.partial(lambda a, b, c: (a, b, c), 1, c=3), 2) == (1, 2, 3)


def test_names_taken_by_the_script_do_not_clash() -> None:
    files, make_dataset = 3, 4
    assert run(lambda x: x + files + make_dataset, 1) == 8


def test_the_packages_own_functions_are_written_out() -> None:
    for name in ("decode_image", "parse_example", "split_and_hash", "parse_csv"):
        written = code(text(Map(function=Function.of(f"pipeline_opt.build.transforms:{name}"))))
        assert f"\ndef {name}(" in written


class Layer:
    def __call__(self, element: int) -> int:
        return element

    def call(self, element: int) -> int:
        return element


compiled = eval("lambda x: x")
layer = Layer()
layer_function = layer.call

NO_CODE = {
    "an object": (Layer(), "Layer cannot be written as code: it is an object of class Layer, not a function; def"),
    "a method": (layer_function, "call cannot be written as code: it is an object of class method"),
    "no source": (compiled, "lambda cannot be written as code: its source cannot be found"),
    "an object in use": (lambda x: layer(x), "it uses 'layer', a Layer, which has no form in code"),
    "a dictionary class in use": (lambda x: TABLE[x], "it uses 'TABLE', a OrderedDict, which has no form in code"),
    "a class of its own": (uses_local_class(), "it uses the class Local, which cannot be imported"),
    "a name that is not there": (lambda x: nowhere(x), "it uses 'nowhere', which does not exist"),  # type: ignore[name-defined]  # noqa: F821
    "a bound argument": (Function.of(lambda x, y: x, y=object()), "it uses 'argument y', a object, which has no form"),
    "functions in a ring": (ping_pong(), "it uses functions that use it"),
}


@pytest.mark.parametrize("what", NO_CODE)
def test_a_function_that_cannot_be_written_is_refused(what: str) -> None:
    function, message = NO_CODE[what]
    with pytest.raises(FunctionError, match=f"^map: .*{message}.*"):
        mapped(function)


def test_a_function_that_changes_what_is_around_it_is_refused() -> None:
    total = 0

    def add(number: int) -> int:
        nonlocal total
        total += number
        return total

    with pytest.raises(FunctionError, match="it changes total outside it"):
        mapped(add)


def test_a_function_of_a_module_that_needs_us_is_imported_where_it_cannot_be_written() -> None:
    written = to_python(text(Map(function=Function.of(counts))), listed)
    assert "import counts\n" in written


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "changing.py"
    path.write_text("f = lambda x: x + 1\n")
    scope: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec", dont_inherit=True), scope)
    assert run(scope["f"], 1) == 2
    path.write_text("f = lambda x: x + 12\n")
    with pytest.raises(FunctionError, match="its source has changed since it was imported"):
        mapped(scope["f"])


# Sources in memory.


def tensors(value: Any) -> str:
    return code(Plan(Tensors(value=value)))


def test_small_tensors_are_written_as_numbers() -> None:
    value = ({"x": np.array([1.5, float("nan")], np.float32)}, [1, 2], np.array([b"a", b"b"], object))
    written = tensors(value)
    assert "({'x': np.array([1.5, float(\"nan\")], 'float32')}, [1, 2], np.array([b'a', b'b'], 'object'))" in written
    assert "import numpy as np\n" in written


def test_larger_tensors_are_written_as_an_archive() -> None:
    value = np.random.default_rng(0).normal(size=(50, 40))
    written = tensors((value, value + 1))
    scope: dict[str, Any] = {}
    lines = [n for n in ast.parse(written).body if "tensorflow" not in ast.unparse(n) and not isinstance(n, ast.If)]
    exec(compile(ast.Module(lines, []), "script", "exec"), scope)
    np.testing.assert_array_equal(scope["_tensor"], value)
    np.testing.assert_array_equal(scope["_tensor_2"], value + 1)
    assert written == tensors((value, value + 1))


REFUSED = [
    (Tensors(value=np.zeros(2**21)), PlanError, "source: tensors in memory above 8 MiB cannot be written as code"),
    (Tensors(value=np.zeros(2, "datetime64[s]")), PlanError, "source: an array of type datetime64"),
    (Tensors(value=object()), PlanError, "source: <object> cannot be written as text"),
    (OpaqueDataset(dataset=object()), FunctionError, "source: an existing dataset cannot be written as code; pass"),
    (OpaqueDataset(factory=Function.of(lambda: None)), FunctionError, "source: an existing dataset cannot be written"),
]


@pytest.mark.parametrize(("source", "error", "message"), REFUSED)
def test_a_source_that_cannot_be_written_is_refused(source: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        code(Plan(source))


def test_an_opaque_stage_without_a_function_is_refused() -> None:
    with pytest.raises(FunctionError, match="opaque: a transformation that only an existing dataset holds has no code"):
        code(text(OpaqueStage(detail=object())))


# Layout.


def test_moving_a_block_leaves_strings_alone() -> None:
    block = 'def f():\n    x = """\n  a\n"""\n\n    return x'
    moved = indent(block)
    assert moved == '    def f():\n        x = """\n  a\n"""\n\n        return x'
    assert dedent(moved, 4) == block
