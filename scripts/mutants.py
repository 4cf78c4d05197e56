"""Mutation test: change the code in one place at a time, and check whether the module's tests fail.

    python scripts/mutants.py [MODULE ...]        e.g. paper/matching runs/fit_status

Prints each mutant that no test detects. Files of the package are not changed: every mutant runs in a fork of one
process. A change within a function is applied to the imported module; for any other change, the module is imported from
a modified syntax tree.
"""

import ast
import copy
import functools
import importlib.abc
import importlib.util
import inspect
import os
import pkgutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("torch", "lightning", "hydra", "numpy", "scipy.stats", "pyarrow.parquet", "rich.table", "PIL.Image")
SELDOM = ("alexnet_pl.webapp", "alexnet_pl.bench")
SECONDS = 300
REPORT = (
    "tests/reporting/test_report.py",
    "tests/reporting/test_paper_rows.py",
    "tests/reporting/test_proxy_tables.py",
)
PAPER = ("tests/paper/test_comparing.py", "tests/paper/test_deviations.py", *REPORT)
SCHEDULES = (
    "tests/training/test_epoch_schedules.py",
    "tests/training/test_plateau_schedule.py",
    "tests/training/test_end_of_fit.py",
)
TESTS: dict[str, tuple[str, ...]] = {
    "paper/claims": ("tests/paper/test_claims.py",),
    "paper/matching": ("tests/paper/test_matching.py",),
    "paper/results": ("tests/paper/test_results.py", *PAPER),
    "paper/variants": ("tests/paper/test_results.py", *PAPER),
    "paper/comparing": PAPER,
    "runs/fit_status": ("tests/runs/test_fit_status.py",),
    "evaluation/intervals": ("tests/evaluation/test_intervals.py",),
    "training/schedules": SCHEDULES,
    "training/epoch_schedules": SCHEDULES,
}
SWAPPED: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Mutations of a node: nodes to replace it with."""
    if isinstance(node, ast.Compare):
        for number, operator in enumerate(node.ops):
            if type(operator) in SWAPPED:
                other = copy.deepcopy(node)
                other.ops[number] = SWAPPED[type(operator)]()
                yield other
    elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in SWAPPED:
        other = copy.deepcopy(node)
        other.op = SWAPPED[type(node.op)]()
        yield other
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield copy.deepcopy(node.operand)
    elif isinstance(node, ast.IfExp | ast.If):
        other = copy.deepcopy(node)
        other.test = ast.UnaryOp(ast.Not(), other.test)
        yield other
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.Return) and node.value is not None and not is_none(node.value):
        yield ast.Return(ast.Constant(None))


def is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def annotations(tree: ast.AST) -> set[ast.AST]:
    """Nodes of annotations; mutating them has no effect."""
    roots = [
        part
        for node in ast.walk(tree)
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if part is not None
    ]
    return {inner for root in roots for inner in ast.walk(root)}


class Mutant(NamedTuple):
    where: str
    tree: ast.Module
    in_function: bool


class Mutator(ast.NodeTransformer):
    """Applies mutation number `wanted`; `place` describes its location."""

    def __init__(self, wanted: int, left_out: set[ast.AST]) -> None:
        self.wanted, self.left_out, self.count, self.place = wanted, left_out, 0, ""
        self.functions, self.in_function = 0, False

    def visit(self, node: ast.AST) -> ast.AST:
        for other in () if node in self.left_out else changes(node):
            if self.count == self.wanted:
                self.place = f"{node.lineno}: {first_line(node)}  →  {first_line(other)}"  # type: ignore[attr-defined]
                self.count, self.in_function = self.count + 1, self.functions > 0
                return ast.fix_missing_locations(ast.copy_location(other, node))
            self.count += 1
        self.functions += isinstance(node, ast.FunctionDef)
        visited = super().visit(node)
        self.functions -= isinstance(node, ast.FunctionDef)
        return visited


def first_line(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0][:70]


def mutants(path: Path) -> Iterator[Mutant]:
    for number in range(10**6):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        mutator = Mutator(number, annotations(tree))
        tree = mutator.visit(tree)
        if not mutator.place:
            return
        yield Mutant(f"{path.relative_to(ROOT)}:{mutator.place}", tree, mutator.in_function)


class Replace(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import hook that loads one module from a syntax tree."""

    def __init__(self, name: str, tree: ast.AST) -> None:
        self.name, self.tree = name, tree

    def find_spec(self, name: str, path: object, target: object = None) -> object:
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: object) -> None:
        exec(compile(self.tree, self.name, "exec"), vars(module))  # type: ignore[arg-type]


def put_into(old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> None:
    """Replace the code of a module's functions and methods by that of the same names in `new`."""
    for key, value in new.items():
        before, after = unwrapped(old.get(key)), unwrapped(value)
        if getattr(before, "__module__", "") != name:
            continue
        if inspect.isfunction(before) and inspect.isfunction(after):
            before.__code__, before.__defaults__ = after.__code__, after.__defaults__
            before.__kwdefaults__ = after.__kwdefaults__
            getattr(old[key], "cache_clear", bool)()
        elif inspect.isclass(before):
            put_into(vars(before), vars(after), name)


def unwrapped(value: Any) -> Any:
    if isinstance(value, property):
        return value.fget
    if isinstance(value, functools.cached_property):
        return value.func
    return inspect.unwrap(getattr(value, "__func__", value)) if callable(value) or hasattr(value, "__func__") else value


def survives(name: str, mutant: Mutant, tests: tuple[str, ...]) -> bool:
    """Whether the tests pass with the mutant; an endless loop counts as detected."""
    if not (pid := os.fork()):
        run_tests(name, mutant, tests)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def run_tests(name: str, mutant: Mutant, tests: tuple[str, ...]) -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        if mutant.in_function:
            fresh = {"__name__": name}
            exec(compile(mutant.tree, name, "exec"), fresh)
            put_into(vars(sys.modules[name]), fresh, name)
        else:
            sys.meta_path.insert(0, Replace(name, mutant.tree))
        os._exit(pytest_code(tests))
    except BaseException:
        os._exit(1)


def pytest_code(tests: tuple[str, ...]) -> int:
    import pytest

    imported = "ignore::pytest.PytestAssertRewriteWarning"  # warning about plugins among the preloaded libraries
    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", imported, *tests]))


def import_package() -> None:
    import alexnet_pl

    for module in pkgutil.walk_packages(alexnet_pl.__path__, "alexnet_pl."):
        if not module.name.endswith("__main__") and not module.name.startswith(SELDOM):
            importlib.import_module(module.name)


def main() -> None:
    os.chdir(ROOT)
    for library in (*LIBRARIES, "pytest"):
        importlib.import_module(library)
    chosen = sys.argv[1:] or list(TESTS)
    alive = {module: 0 for module in chosen}
    every = {module: list(mutants(ROOT / "alexnet_pl" / f"{module}.py")) for module in chosen}
    for in_function in (False, True):  # modules are replaced before the package is imported
        if in_function:
            import_package()
        for module in chosen:
            name = f"alexnet_pl.{module.replace('/', '.')}"
            for mutant in every[module]:
                if mutant.in_function == in_function and survives(name, mutant, TESTS[module]):
                    alive[module] += 1
                    print(mutant.where, flush=True)
    for module in chosen:
        count = len(every[module])
        print(f"{module}: {count} mutants, {count - alive[module]} noticed, {alive[module]} not", flush=True)


if __name__ == "__main__":
    main()
