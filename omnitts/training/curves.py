"""Loss curves: a stage's losses file in, a PNG out. One small plot per loss, training and held-back utterances."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from omnitts.errors import DependencyError
from omnitts.training.losses_file import read_losses

CURVES: Final = "losses.png"
_POINTS: Final = 400  # a curve is averaged down to so many points


def draw_curves(losses: Path, picture: Path, title: str) -> None:
    """Draws all curves of a losses file (JSON lines with ``step``). Raises `DependencyError` without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyError("loss curves need matplotlib", hint="pip install 'omnitts[train]'") from error
    entries = read_losses(losses)
    names = sorted({name.removeprefix("valid ") for entry in entries for name in entry} - {"step"})
    if not names:
        return
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(5 * columns, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for name, axis in zip(names, axes.flat, strict=False):
        for key, colour in ((name, "tab:blue"), (f"valid {name}", "tab:orange")):
            points = [(entry["step"], entry[key]) for entry in entries if key in entry]
            if points:
                steps, values = _thinned(points)
                label = "held back" if key != name else "training"
                axis.plot(steps, values, color=colour, label=label, marker="." if len(steps) < 20 else "")
        axis.set_title(f"{title}: {name}")
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        axis.legend()
    for axis in list(axes.flat)[len(names) :]:
        axis.set_visible(False)
    aside = picture.with_suffix(".part")
    FigureCanvasAgg(figure)
    figure.savefig(aside, format="png", dpi=80)
    aside.replace(picture)


def _thinned(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    group = -(-len(points) // _POINTS)
    chunks: list[list[Any]] = [points[at : at + group] for at in range(0, len(points), group)]
    return [chunk[-1][0] for chunk in chunks], [sum(value for _, value in chunk) / len(chunk) for chunk in chunks]
