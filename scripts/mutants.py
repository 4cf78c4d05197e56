"""Mutation test: change the code in one place at a time, and see whether the tests of that module notice.

    python scripts/mutants.py [MODULE ...]        e.g. paper/matching runs/fit_status

Prints each mutant that no test noticed. Every mutant runs in a fork of one process that has imported the libraries, so
that it takes a second or two; nothing is written to the package.
"""

import ast
import copy
import importlib.abc
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("torch", "lightning", "hydra", "numpy", "scipy.stats", "pyarrow.parquet", "rich.table", "PIL.Image")
SECONDS = 300
REPORT = ("tests/reporting/test_report.py",)
SCHEDULES = ("tests/training/test_epoch_schedules.py", "tests/training/test_plateau_schedule.py")
TESTS: dict[str, tuple[str, ...]] = {
    "paper/claims": ("tests/paper/test_claims.py",),
    "paper/matching": ("tests/paper/test_matching.py",),
    "paper/results": REPORT,
    "paper/comparing": REPORT,
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
    """Other nodes in the place of this one."""
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
    """Nodes of annotations, whose change changes nothing."""
    roots = [
        part
        for node in ast.walk(tree)
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if part is not None
    ]
    return {inner for root in roots for inner in ast.walk(root)}


class Mutator(ast.NodeTransformer):
    """Replaces the change with number `wanted`; `place` says where it was."""

    def __init__(self, wanted: int, left_out: set[ast.AST]) -> None:
        self.wanted, self.left_out, self.count, self.place = wanted, left_out, 0, ""

    def visit(self, node: ast.AST) -> ast.AST:
        for other in () if node in self.left_out else changes(node):
            if self.count == self.wanted:
                self.place = f"{node.lineno}: {first_line(node)}  →  {first_line(other)}"  # type: ignore[attr-defined]
                self.count += 1
                return ast.fix_missing_locations(ast.copy_location(other, node))
            self.count += 1
        return super().visit(node)


def first_line(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0][:70]


def mutants(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """(where and what, module) of every mutant of a file."""
    for number in range(10**6):
        tree = ast.parse(path.read_text())
        mutator = Mutator(number, annotations(tree))
        tree = mutator.visit(tree)
        if not mutator.place:
            return
        yield f"{path.relative_to(ROOT)}:{mutator.place}", tree


class Replace(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from a syntax tree."""

    def __init__(self, name: str, tree: ast.AST) -> None:
        self.name, self.tree = name, tree

    def find_spec(self, name: str, path: object, target: object = None) -> object:
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: object) -> None:
        exec(compile(self.tree, self.name, "exec"), vars(module))  # type: ignore[arg-type]


def survives(name: str, tree: ast.AST, tests: tuple[str, ...]) -> bool:
    """Whether the tests pass with the module replaced; an endless loop counts as noticed."""
    if not (pid := os.fork()):
        run_tests(name, tree, tests)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def run_tests(name: str, tree: ast.AST, tests: tuple[str, ...]) -> None:
    import pytest

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    sys.meta_path.insert(0, Replace(name, tree))
    imported = "ignore::pytest.PytestAssertRewriteWarning"  # of plugins among the libraries
    os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", imported, *tests])))


def main() -> None:
    os.chdir(ROOT)
    for library in (*LIBRARIES, "pytest"):
        importlib.import_module(library)
    for module in sys.argv[1:] or TESTS:
        path = ROOT / "alexnet_pl" / f"{module}.py"
        name = f"alexnet_pl.{module.replace('/', '.')}"
        if not survives(name, ast.parse(path.read_text()), TESTS[module]):
            raise SystemExit(f"{module}: its tests fail as it is")
        every = list(mutants(path))
        alive = 0
        for where, tree in every:
            if survives(name, tree, TESTS[module]):
                alive += 1
                print(where, flush=True)
        print(f"{module}: {len(every)} mutants, {len(every) - alive} noticed, {alive} not", flush=True)


if __name__ == "__main__":
    main()
