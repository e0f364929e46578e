"""`expect`: what must hold of a finished run, as comparisons of counted numbers, such as `docs('books') > 10`."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from corpuskit.errors import ExpectFailed, UsageError, did_you_mean

FUNCTIONS = {
    "docs": "documents of a domain in the corpus",
    "tokens": "tokens of a domain",
    "bytes": "UTF-8 bytes of a domain in the corpus",
    "drop_rate": "share that a rule dropped of the documents of the domains it applies to",
    "duplicate_rate": "share that dedup removed of the documents of a domain that it saw",
}
"""Functions of one quoted name: of a rule for `drop_rate`, else of a domain."""

_COMPARE: Mapping[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True)
class Expectation:
    """A checked expectation; `calls` are its (function, name) in order."""

    text: str
    calls: tuple[tuple[str, str], ...]
    tree: ast.expr

    def evaluate(self, functions: Mapping[str, Callable[[str], float]]) -> bool:
        """Whether it holds, given the functions of `FUNCTIONS`.

        Raises:
            ExpectFailed: it divides by zero.
        """
        try:
            return bool(_evaluate(self.tree, functions))
        except ZeroDivisionError:
            msg = f"`{self.text}` divides by zero"
            raise ExpectFailed(msg) from None


def parse_expect(text: str) -> Expectation:
    """Check an expectation: comparisons of numbers, `+ - * /` and the functions, joined by `and`, `or`, `not`.

    Raises:
        UsageError: it is anything else.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        calls: list[tuple[str, str]] = []
        _truth(tree, text, calls)
    except SyntaxError as error:
        msg = f"`{text}` does not parse: {error.msg}"
        raise UsageError(msg, "such as `docs('books') > 10 and drop_rate('too_short') < 0.1`") from None
    except (ValueError, RecursionError, MemoryError):
        msg = f"`{text[:60]}` does not parse"
        raise UsageError(msg) from None
    if not calls:
        msg = f"`{text}` asks nothing of the run"
        raise UsageError(msg, f"functions: {', '.join(FUNCTIONS)}")
    return Expectation(text, tuple(calls), tree)


def _truth(node: ast.expr, text: str, calls: list[tuple[str, str]]) -> None:
    if isinstance(node, ast.BoolOp):
        for value in node.values:
            _truth(value, text, calls)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _truth(node.operand, text, calls)
    elif isinstance(node, ast.Compare) and all(type(op) in _COMPARE for op in node.ops):
        for value in (node.left, *node.comparators):
            _number(value, text, calls)
    else:
        msg = f"`{text}`: `{ast.unparse(node)}` is not a comparison"
        raise UsageError(msg, "such as `docs('books') > 10`")


def _number(node: ast.expr, text: str, calls: list[tuple[str, str]]) -> None:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        _number(node.operand, text, calls)
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        _number(node.left, text, calls)
        _number(node.right, text, calls)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name = node.func.id
        if name not in FUNCTIONS:
            msg = f"`{text}`: there is no function `{name}`"
            raise UsageError(msg, did_you_mean(name, FUNCTIONS) or f"functions: {', '.join(FUNCTIONS)}")
        argument = node.args[0] if len(node.args) == 1 and not node.keywords else None
        if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
            msg = f"`{text}`: `{name}` takes one quoted name"
            raise UsageError(msg, f"such as `{name}('{'too_short' if name == 'drop_rate' else 'books'}')`")
        calls.append((name, argument.value))
    else:
        msg = f"`{text}`: `{ast.unparse(node)}` is not a number"
        raise UsageError(msg, f"numbers, + - * / and the functions {', '.join(FUNCTIONS)}")


def _evaluate(node: ast.expr, functions: Mapping[str, Callable[[str], float]]) -> Any:
    """The value of a tree that `_truth` accepted."""
    if isinstance(node, ast.BoolOp):
        return (all if isinstance(node.op, ast.And) else any)(_evaluate(value, functions) for value in node.values)
    if isinstance(node, ast.UnaryOp):
        value = _evaluate(node.operand, functions)
        return not value if isinstance(node.op, ast.Not) else -value
    if isinstance(node, ast.Compare):
        values = [_evaluate(value, functions) for value in (node.left, *node.comparators)]
        pairs = zip(node.ops, values, values[1:], strict=False)
        return all(_COMPARE[type(op)](left, right) for op, left, right in pairs)
    if isinstance(node, ast.BinOp):
        return _ARITHMETIC[type(node.op)](_evaluate(node.left, functions), _evaluate(node.right, functions))
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name)
        assert isinstance(node.args[0], ast.Constant)
        return functions[node.func.id](str(node.args[0].value))
    assert isinstance(node, ast.Constant)
    return node.value
