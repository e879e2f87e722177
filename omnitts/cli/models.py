"""`omnitts models`: the speech models on this machine; fetch one when asked, check it, say where it lies, remove it."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

from omnitts.cli.console import messages, print_json, remark
from omnitts.cli.options import DebugOption, JsonOption, QuietOption
from omnitts.errors import EXIT_OK, ModelError, UsageError
from omnitts.progress import Event

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

app = typer.Typer(
    no_args_is_help=True, help="Speech models: list, pull, verify, path, remove. Nothing is fetched unasked."
)

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A short name (2b), a hub id (owner/name), or a folder.")
]
RevisionOption = Annotated[
    str | None, typer.Option("--revision", help="Commit, branch or tag; without it the usual one.")
]


@app.command("list")
def list_all(as_json: JsonOption = False, quiet: QuietOption = False, debug: DebugOption = False) -> None:
    """Show the models that omnitts knows and those on this machine. Looks at this machine only.

    [bold]Example[/bold]: omnitts models list
    """
    from omnitts.models.hub import KNOWN_MODELS, bundled_model, find_known, list_models

    bundled = bundled_model()
    stored = [*list_models(), *([bundled] if bundled else [])]
    rows: list[tuple[str, ...]] = []
    for model in KNOWN_MODELS:
        if not any(item.repo == model.repo for item in stored):
            rows.append(
                (model.short_name, model.repo, model.kind, "not here", f"about {model.size_gb:.0f} GB", model.note)
            )
    for item in stored:
        known = find_known(item.repo)
        state = f"lacks {', '.join(item.missing)}" if item.missing else f"ready ({item.place}, {item.commit[:8]})"
        size = f"{item.size_bytes / 1e9:.1f} GB"
        kind = known.kind if known else ""
        rows.append((known.short_name if known else "", item.repo, kind, state, size, str(item.folder)))
    if as_json:
        keys = ("name", "repo", "kind", "state", "size", "note")
        have = [
            {"repo": i.repo, "folder": str(i.folder), "place": i.place, "commit": i.commit, "bytes": i.size_bytes,
             "missing": list(i.missing)}
            for i in stored
        ]  # fmt: skip
        print_json({"known": [dict(zip(keys, row, strict=True)) for row in rows], "stored": have})
        return
    from rich.table import Table

    from omnitts.cli.tables import print_table

    table = Table("name", "model", "kind", "state", "size", "", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    print_table(table)
    if not quiet:
        remark("get one: omnitts models pull 2b")


@app.command("pull")
def pull(
    model: ModelArgument,
    revision: RevisionOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Fetch a model from the hub, check every byte and note its commit. Interrupted, the same command goes on.

    [bold]Examples[/bold]:

    omnitts models pull 2b

    omnitts models pull wcy1122/MGM-Omni-TTS-2B-0927 --revision 0123abc
    """
    from omnitts.models.pull import pull as fetch

    with _PullDisplay(as_json=as_json, quiet=quiet) as progress:
        folder = fetch(model, revision, progress)
    if as_json:
        print_json({"event": "pulled", "model": model, "folder": str(folder)})
    else:
        typer.echo(str(folder))


@app.command("verify")
def verify(
    model: ModelArgument,
    revision: RevisionOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Check a model on disk: all files there, none cut short, every byte as it was pulled.

    Exit status 0 when it is sound, 6 when it is not.

    [bold]Example[/bold]: omnitts models verify 2b
    """
    from omnitts.models.hub import find_folder
    from omnitts.models.hub import verify as read_through

    folder = find_folder(model, revision=revision)
    found = read_through(folder, remark if sys.stderr.isatty() and not (quiet or as_json) else lambda name: None)
    if as_json:
        facts = {"model": model, "folder": str(folder), "files": found.num_files, "compared": found.has_manifest}
        print_json({**facts, "sound": not found.faults, "faults": list(found.faults)})
        return ModelError.exit_code if found.faults else EXIT_OK
    if found.faults:
        raise ModelError("; ".join(found.faults), where=str(folder), hint="pull it again, or copy the files anew")
    if not quiet:
        how = (
            "every byte as pulled"
            if found.has_manifest
            else "complete; not pulled by omnitts, so bytes were not compared"
        )
        typer.echo(f"{folder}: {found.num_files} files, {how}")
    return EXIT_OK


@app.command("path")
def path(
    model: ModelArgument,
    revision: RevisionOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Print the folder of a model on this machine.

    [bold]Example[/bold]: ls "$(omnitts models path 2b)"
    """
    from omnitts.models.hub import locate_model, model_revision

    folder = locate_model(model, revision=revision)
    if as_json:
        print_json({"model": model, "folder": str(folder), "revision": model_revision(folder)})
    else:
        typer.echo(str(folder))


@app.command("remove")
def remove(
    model: ModelArgument,
    revision: RevisionOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Delete a model that omnitts pulled. The Hugging Face cache and folders of your own are left alone.

    [bold]Example[/bold]: omnitts models remove 2b --yes
    """
    from omnitts.models.hub import check_repo, remove_model, store_folder

    folder = store_folder(check_repo(model), revision)
    if folder.is_dir() and not yes:
        if as_json or not sys.stdin.isatty():
            raise UsageError("nobody can be asked here", where=model, hint="add --yes to delete it")
        typer.confirm(f"delete {folder}?", abort=True, err=True)
    remove_model(model, revision=revision)
    if as_json:
        print_json({"event": "removed", "model": model, "folder": str(folder)})
    elif not quiet:
        typer.echo(f"removed {folder}")


class _PullDisplay:
    """Shows a download: a bar on a terminal, a line per tenth in a log, JSON lines, or nothing."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._as_json, self._quiet = as_json, quiet
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._tenth = -1

    def __enter__(self) -> _PullDisplay:
        if not (self._as_json or self._quiet) and sys.stderr.isatty():
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
            from rich.progress import TransferSpeedColumn as SpeedColumn

            columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), DownloadColumn(), SpeedColumn())
            self._bar = Progress(*columns, TimeRemainingColumn(), console=messages(), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("asking the hub", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def emit(self, event: Event) -> None:
        if self._as_json:
            print_json({"event": event.name, **event.data})
        elif self._bar is not None and self._task is not None:
            if event.name == "download":
                done, total = event.data["done_bytes"], event.data["total_bytes"]
                self._bar.update(self._task, completed=done, total=total, description="fetching")
            else:
                self._bar.update(self._task, description=f"checking {event.data['file']}")
        elif not self._quiet and event.name == "download":
            tenth = 10 * event.data["done_bytes"] // max(1, event.data["total_bytes"])
            if tenth > self._tenth:
                self._tenth = tenth
                remark(f"{tenth * 10} % of {event.data['total_bytes'] / 1e9:.1f} GB")
