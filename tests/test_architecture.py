"""Imports point one way: cli > pipeline > fleet > engines > models > floor. An arrow that runs up fails here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "omnitts"
ROOMS = ("cli", "api", "training", "pipeline", "fleet", "engines", "models")  # from the top down; all else is the floor
HEAVY = {
    "torch", "transformers", "faster_whisper", "resemblyzer", "nltk", "av", "onnxruntime", "soundfile", "scipy", "lxml",
    "jiwer", "wetext", "num2words", "hibari", "ffmpeg", "pydub", "huggingface_hub", "numpy", "soxr", "rich",
}  # fmt: skip
FILES = sorted(file for file in PACKAGE.rglob("*.py") if file != PACKAGE / "__init__.py")  # that one is the API's door


def room_of(module: str) -> int:
    """Index of a module's room in ROOMS; the floor is below all of them."""
    parts = module.split(".")
    return ROOMS.index(parts[1]) if len(parts) > 1 and parts[1] in ROOMS else len(ROOMS)


def module_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = _run_at_import(tree) if top_level_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _run_at_import(tree: ast.Module) -> list[ast.AST]:
    """Statements that run when the module is imported: not function bodies, not `if TYPE_CHECKING`."""
    pending: list[ast.AST] = list(tree.body)
    run: list[ast.AST] = []
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        run.append(node)
        pending.extend(ast.iter_child_nodes(node))
    return run


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_imports_point_downwards(file: Path) -> None:
    own = room_of(module_of(file))
    upward = {name for name in imports_of(file) if name.startswith("omnitts.") and room_of(name) < own}
    assert not upward, f"{module_of(file)} imports from a room above it: {sorted(upward)}"


def test_no_import_cycles_between_modules() -> None:
    modules = {module_of(file): file for file in FILES}
    graph = {
        name: {target for target in imports_of(file, top_level_only=True) if target in modules and target != name}
        for name, file in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, "import cycle: " + " > ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for target in sorted(graph[name]):
                if not name.startswith(target + "."):  # a package is initialised before its own modules
                    visit(target, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


@pytest.mark.parametrize("file", [file for file in FILES if file.parent.name == "cli"], ids=module_of)
def test_command_line_imports_nothing_heavy(file: Path) -> None:
    heavy = {name for name in imports_of(file, top_level_only=True) if name.split(".")[0] in HEAVY}
    assert not heavy, f"{module_of(file)} imports {sorted(heavy)} at start-up; import inside the command"


def test_only_one_door_to_ffmpeg() -> None:
    through = {module_of(file) for file in FILES if "ffmpeg" in {name.split(".")[0] for name in imports_of(file)}}
    starts = {module_of(file) for file in FILES if "subprocess" in {name.split(".")[0] for name in imports_of(file)}}
    assert through <= {"omnitts.ffmpeg"}
    assert starts <= {"omnitts.ffmpeg", "omnitts.cli.doctor", "omnitts.pipeline.doctor"}


def test_every_package_is_installed() -> None:
    """pyproject.toml lists the packages by name, since one of them lies outside."""
    listed = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
    folders = {file.parent for file in PACKAGE.rglob("*.py")}
    missing = [
        name
        for name in map(module_of, sorted(folder / "__init__.py" for folder in folders))
        if f'"{name}"' not in listed
    ]
    assert missing == []
