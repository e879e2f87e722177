"""`omnitts job`: the narrations on this machine; look at one, give its failed pieces more takes, free its space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnitts.cli.console import print_json, remark
from omnitts.cli.options import DebugOption, JsonOption, QuietOption
from omnitts.errors import JobError, OutputError

if TYPE_CHECKING:
    from omnitts.pipeline.job import Job, JobFolder

app = typer.Typer(no_args_is_help=True, help="Narrations in progress: list, show, retry, clean.")

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="A job's name (or its beginning), or its folder.")]


@app.command("list")
def list_jobs(as_json: JsonOption = False, quiet: QuietOption = False, debug: DebugOption = False) -> None:
    """Show all jobs, newest first.

    [bold]Example[/bold]: omnitts job list
    """
    from rich.markup import escape
    from rich.table import Table

    from omnitts.cli.tables import print_table
    from omnitts.pipeline.job import find_jobs

    rows = [_summary(folder) for folder in find_jobs()]
    if as_json:
        print_json(rows)
        return
    if not rows:
        remark("no jobs yet: omnitts narrate book.epub starts one")
        return
    table = Table("job", "title", "pieces", "accepted", "rejected", "to do", "size", box=None, pad_edge=False)
    for row in rows:
        size = f"{row['bytes'] / 1e6:.0f} MB"
        if row["problem"]:
            table.add_row(row["job"], escape(row["problem"]), "", "", "", "", size)
            continue
        table.add_row(
            row["job"], escape(row["title"]), str(row["pieces"]), str(row["accepted"]), str(row["rejected"]),
            str(row["pending"] + row["spoken"]), size,
        )  # fmt: skip
    print_table(table)


@app.command("show")
def show(
    name: JobArgument, as_json: JsonOption = False, quiet: QuietOption = False, debug: DebugOption = False
) -> None:
    """Show one job: where it reads and writes, how far it is, and which pieces were rejected and why.

    [bold]Example[/bold]: omnitts job show moby-dick
    """
    from omnitts.pipeline.job import read_job

    folder = _find(name)
    with read_job(folder) as job:
        facts = {**_facts(job), "folder": str(folder.path), "flagged": _flagged(job)}
    if as_json:
        print_json(facts)
        return
    for key in ("title", "source", "output", "folder", "pieces", "accepted", "rejected", "pending", "spoken"):
        typer.echo(f"{key:>9}: {facts[key]}")
    for piece in facts["flagged"]:
        typer.echo(f"\n  {piece['utterance'][:12]}  after {piece['takes']} takes: {'; '.join(piece['reasons'])}")
        typer.echo(f"    {piece['text']}")


@app.command("retry")
def retry(
    name: JobArgument,
    takes: Annotated[int, typer.Option("--takes", min=1, help="How many more takes each rejected piece gets.")] = 3,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Give rejected pieces more takes with new seeds. The same narrate command then speaks them.

    [bold]Example[/bold]: omnitts job retry moby-dick --takes 5 && omnitts narrate moby-dick.epub
    """
    from omnitts.pipeline.job import Status, open_job

    folder = _find(name)
    with open_job(folder, must_exist=True) as job:
        rejected = [key for key, status in job.statuses().items() if status is Status.REJECTED]
        job.grant_takes(rejected, takes)
        command = job.get("command") or "the same narrate command"
    if as_json:
        print_json({"event": "granted", "job": folder.name, "pieces": len(rejected), "takes": takes})
    elif rejected:
        typer.echo(f"{len(rejected)} rejected pieces get up to {takes} more takes each; now run: {command}")
    else:
        typer.echo("nothing was rejected in this job")


@app.command("clean")
def clean(
    name: Annotated[str | None, typer.Argument(metavar="[JOB]", help="The job; all jobs with --all.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All jobs.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove the whole job, not only what it no longer uses.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Free space: delete clips that the present text no longer uses, or (--remove) whole jobs. Finished files stay.

    [bold]Examples[/bold]: omnitts job clean moby-dick · omnitts job clean --all --remove
    """
    from omnitts.errors import UsageError
    from omnitts.pipeline.job import find_jobs, open_job, remove_job

    if (name is None) != everything:
        raise UsageError("name one job, or give --all", where="omnitts job clean", hint="see omnitts job list")
    freed = {}
    for folder in find_jobs() if name is None else [_find(name)]:
        if remove:
            freed[folder.name] = remove_job(folder)
            continue
        with open_job(folder, must_exist=True) as job:
            freed[folder.name] = job.prune()
    if as_json:
        print_json({"event": "cleaned", "bytes": freed})
    else:
        typer.echo(f"freed {sum(freed.values()) / 1e6:.0f} MB in {len(freed)} job{'s' * (len(freed) != 1)}")


def _find(name: str) -> JobFolder:
    from omnitts.pipeline.job import JobFolder, find_jobs

    if (Path(name) / "job.sqlite").is_file():
        return JobFolder(Path(name))
    matches = [folder for folder in find_jobs() if folder.name.startswith(name)]
    exact = [folder for folder in matches if folder.name == name]
    if len(exact or matches) == 1:
        return (exact or matches)[0]
    what = "several jobs begin with this" if matches else "no such job"
    hint = ", ".join(folder.name for folder in matches) or "omnitts job list shows the jobs there are"
    raise JobError(what, where=name, hint=hint)


def _summary(folder: JobFolder) -> dict[str, Any]:
    """One job's line; a job that cannot be read does not hide the others."""
    from omnitts.pipeline.job import read_job

    try:
        with read_job(folder) as job:
            return {"job": folder.name, **_facts(job), "bytes": _size(folder), "problem": ""}
    except (JobError, OutputError) as error:
        return {"job": folder.name, "title": "", "bytes": _size(folder), "problem": error.what}


def _facts(job: Job) -> dict[str, Any]:
    counts = job.counts()
    return {
        "title": job.get("title") or "",
        "source": job.get("source") or "",
        "output": job.get("output") or "",
        "pieces": sum(counts.values()),
        **{status.value: number for status, number in counts.items()},
    }


def _flagged(job: Job) -> list[dict[str, Any]]:
    from omnitts.pipeline.job import Status

    flagged = []
    for key, status in job.statuses().items():
        take = job.best_take(key) if status is Status.REJECTED else None
        if take is not None and take.verdict is not None:
            flagged.append(
                {
                    "utterance": key,
                    "text": job.text(key),
                    "takes": len(job.takes(key)),
                    "reasons": list(take.verdict.reasons),
                    "wer": take.verdict.wer,
                }
            )
    return flagged


def _size(folder: JobFolder) -> int:
    return sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())
