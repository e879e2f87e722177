"""``cosyvoice2.yaml`` as plain data: a YAML file in the HyperPyYAML dialect whose tags would build python objects.

In: a file. Out: dicts, lists, strings and numbers. No tag constructs, imports or calls anything: a tagged mapping
becomes a dict (the tag is kept under ``TAG``), a tagged list a list, a tagged scalar its text. Only ``!ref`` is acted
upon: names in angle brackets are looked up in the file, and arithmetic between numbers is worked out here.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from omnitts.errors import ModelError

TAG: Final = "!"
"""Key under which a tagged mapping keeps its tag, without the leading ``!``."""
_NAME: Final = re.compile(r"<([^<>]+)>")
_PART: Final = re.compile(r"[^\[\]]+")
_OPERATORS: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


@dataclass(frozen=True)
class _Ref:
    """An unresolved ``!ref`` expression."""

    text: str


class _DataLoader(yaml.SafeLoader):
    """SafeLoader that reads every unknown tag as the data under it."""


def _read_tagged(loader: _DataLoader, suffix: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return {TAG: suffix, **{str(k): v for k, v in loader.construct_mapping(node, deep=True).items()}}
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if not isinstance(node, yaml.ScalarNode):
        raise yaml.constructor.ConstructorError(None, None, "unknown kind of node", node.start_mark)
    text = str(loader.construct_scalar(node))
    return _Ref(text) if suffix in ("ref", "copy") else text


_DataLoader.add_multi_constructor("!", _read_tagged)
_DataLoader.add_multi_constructor("tag:yaml.org,2002:python/", _read_tagged)


def read(path: Path) -> dict[str, Any]:
    """The file's top mapping with every reference resolved; ``ModelError`` names the file and the place."""
    try:
        # The loader below is a SafeLoader: its constructors make strings, numbers, lists and dicts only.
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_DataLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot be read ({error})", where=str(path)) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ModelError(f"is not YAML ({' '.join(str(error).split())})", where=str(path)) from error
    if not isinstance(data, dict):
        raise ModelError("holds no mapping", where=str(path))
    return _Resolver(data, str(path)).whole()


class _Resolver:
    def __init__(self, data: dict[str, Any], where: str) -> None:
        self._data, self._where = data, where
        self._open: list[str] = []

    def whole(self) -> dict[str, Any]:
        return {str(key): self._value(value) for key, value in self._data.items()}

    def _value(self, value: object) -> object:
        if isinstance(value, _Ref):
            return self._reference(value.text.strip())
        if isinstance(value, dict):
            return {key: self._value(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [self._value(entry) for entry in value]
        return value

    def _reference(self, text: str) -> object:
        names = _NAME.findall(text)
        if not names:
            raise self._error(text, "names nothing in angle brackets")
        values = [self._named(name) for name in names]
        if _NAME.fullmatch(text):
            return values[0]
        if all(isinstance(value, int | float) for value in values):
            filled = iter(values)
            return self._arithmetic(_NAME.sub(lambda _: f"({next(filled)!r})", text), text)
        filled = iter(values)
        return _NAME.sub(lambda _: str(next(filled)), text)

    def _named(self, name: str) -> object:
        if name in self._open or len(self._open) > 50:
            raise self._error(name, "refers to itself")
        found: object = self._data
        for part in _PART.findall(name):
            if isinstance(found, _Ref):
                found = self._value(found)
            if isinstance(found, dict) and part in found:
                found = found[part]
            elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
                found = found[int(part)]
            else:
                raise self._error(name, "is not in the file")
        self._open.append(name)
        resolved = self._value(found)
        self._open.pop()
        return resolved

    def _arithmetic(self, filled: str, text: str) -> int | float:
        try:
            return _number(ast.parse(filled.strip(), mode="eval").body)
        except (SyntaxError, ValueError, ZeroDivisionError) as error:
            raise self._error(text, "is no arithmetic of numbers with + - * / //") from error

    def _error(self, text: str, trouble: str) -> ModelError:
        return ModelError(f"reference !ref {text} {trouble}", where=self._where)


def _number(node: ast.expr) -> int | float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        result: int | float = _OPERATORS[type(node.op)](_number(node.left), _number(node.right))
        return result
    raise ValueError(ast.dump(node))
