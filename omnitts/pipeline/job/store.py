"""The job store: utterances and takes of one narration in SQLite. Takes and verdicts go in; what is pending comes out.

Written by the driver's thread alone. Sees no engines, no ASR, no ffmpeg. A clip is on disk before its row exists, so
every row can be believed after a kill; a clip without a row is merely unreferenced.

An utterance is ``pending`` (speak it), ``spoken`` (a take awaits its verdict), ``accepted``, or ``rejected`` (its last
take failed: speak it again while takes are left). Those that the present plan no longer holds stay as a cache.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

import filelock

from omnitts.audio import Waveform, encode, write_atomically
from omnitts.errors import JobError, OmnittsError, OutputError
from omnitts.paths import HOME_VARIABLE
from omnitts.pipeline.job.layout import JobFolder, clip_name
from omnitts.types import Clip, Utterance, Verdict

SCHEMA_VERSION = 1
AFRESH = "move the job folder away to start afresh"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pieces (
    chapter_idx INTEGER NOT NULL, piece_idx INTEGER NOT NULL, utterance_id TEXT NOT NULL,
    PRIMARY KEY (chapter_idx, piece_idx));
CREATE INDEX IF NOT EXISTS pieces_by_utterance ON pieces (utterance_id);
CREATE TABLE IF NOT EXISTS utterances (
    id TEXT PRIMARY KEY, text TEXT NOT NULL, speaker TEXT NOT NULL, language TEXT NOT NULL, status TEXT NOT NULL,
    extra_takes INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS takes (
    utterance_id TEXT NOT NULL, take INTEGER NOT NULL, seed INTEGER NOT NULL, file TEXT NOT NULL,
    duration_s REAL NOT NULL, sample_rate INTEGER NOT NULL, synthesis_s REAL NOT NULL, failure TEXT NOT NULL,
    verdict TEXT, accepted INTEGER, checks TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (utterance_id, take));
"""


class Status(str, Enum):
    PENDING = "pending"
    SPOKEN = "spoken"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Take:
    """One attempt at an utterance. ``verdict`` is None until judged; ``checks`` names the rules that judged it."""

    clip: Clip
    failure: str = ""
    verdict: Verdict | None = None
    checks: str = ""

    @property
    def is_accepted(self) -> bool:
        return self.verdict is not None and self.verdict.accepted


class Job:
    """An open job. Made by `open_job`; holds the folder's lock until closed."""

    def __init__(self, folder: JobFolder, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._db = connection

    # The plan -------------------------------------------------------------------------------------------------------

    def set_plan(self, utterances: Iterable[Utterance]) -> None:
        """Makes these the book. New utterances are pending; those known keep their takes and verdicts."""
        with self._db:
            self._db.execute("DELETE FROM pieces")
            for utterance in utterances:
                self._db.execute(
                    "INSERT INTO pieces VALUES (?, ?, ?)", (utterance.chapter_idx, utterance.piece_idx, utterance.id)
                )
                self._db.execute(
                    "INSERT OR IGNORE INTO utterances (id, text, speaker, language, status) VALUES (?, ?, ?, ?, ?)",
                    (utterance.id, utterance.text, utterance.speaker, utterance.language, Status.PENDING.value),
                )

    def counts(self) -> dict[Status, int]:
        """How many utterances of the present plan are in each status."""
        rows = self._db.execute(
            "SELECT status, COUNT(*) FROM utterances WHERE id IN (SELECT utterance_id FROM pieces) GROUP BY status"
        )
        found = dict(rows.fetchall())
        return {status: found.get(status.value, 0) for status in Status}

    def status(self, utterance_id: str) -> Status:
        row = self._db.execute("SELECT status FROM utterances WHERE id = ?", (utterance_id,)).fetchone()
        if row is None:
            raise JobError(f"no utterance {utterance_id} in this job", where=str(self.folder.path))
        return Status(row[0])

    def statuses(self) -> dict[str, Status]:
        """Status of every utterance of the present plan, in reading order."""
        rows = self._db.execute(
            "SELECT id, status FROM utterances JOIN pieces ON id = utterance_id"
            " GROUP BY id ORDER BY MIN(chapter_idx * 1000000 + piece_idx)"
        )
        return {utterance_id: Status(status) for utterance_id, status in rows}

    def text(self, utterance_id: str) -> str:
        row = self._db.execute("SELECT text FROM utterances WHERE id = ?", (utterance_id,)).fetchone()
        return "" if row is None else str(row[0])

    # Takes ----------------------------------------------------------------------------------------------------------

    def add_take(
        self, utterance_id: str, take: int, seed: int, sound: Waveform, *, failure: str = "", synthesis_s: float = 0.0
    ) -> Take:
        """Stores a spoken take: the clip first, then its row; the utterance becomes ``spoken``."""
        data = encode(sound, "FLAC")
        file = clip_name(data)
        path = self.folder.clip(file)
        if not path.exists():
            write_atomically(path, data)
        clip = Clip(utterance_id, take, seed, file, sound.duration_s, sound.sample_rate, synthesis_s)
        with self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO takes VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, '')",
                (utterance_id, take, seed, file, clip.duration_s, clip.sample_rate, synthesis_s, failure),
            )
            self._update_status(utterance_id)
        return Take(clip, failure)

    def record(self, clip: Clip, verdict: Verdict, checks: str = "") -> None:
        """Stores a verdict, which may change the utterance's status. ``checks`` names the rules that gave it."""
        with self._db:
            self._db.execute(
                "UPDATE takes SET verdict = ?, accepted = ?, checks = ? WHERE utterance_id = ? AND take = ?",
                (
                    json.dumps(asdict(verdict), ensure_ascii=False),
                    verdict.accepted,
                    checks,
                    clip.utterance_id,
                    clip.take,
                ),
            )
            self._update_status(clip.utterance_id)

    def takes(self, utterance_id: str) -> list[Take]:
        """All takes of an utterance, oldest first."""
        rows = self._db.execute(
            "SELECT utterance_id, take, seed, file, duration_s, sample_rate, synthesis_s, failure, verdict, checks"
            " FROM takes WHERE utterance_id = ? ORDER BY take",
            (utterance_id,),
        )
        return [_take_of(row) for row in rows]

    def best_take(self, utterance_id: str) -> Take | None:
        """The take to publish: an accepted one before a rejected one, then the higher score, then the earlier."""
        takes = self.takes(utterance_id)
        return max(takes, key=_merit) if takes else None

    def take_numbers(self) -> dict[str, tuple[int, int]]:
        """For every utterance of the present plan: takes spoken so far, and takes granted beyond the usual number."""
        rows = self._db.execute(
            "SELECT id, (SELECT COUNT(*) FROM takes WHERE utterance_id = id), extra_takes FROM utterances"
            " WHERE id IN (SELECT utterance_id FROM pieces)"
        )
        return {utterance_id: (spoken, extra) for utterance_id, spoken, extra in rows}

    def take_number(self, utterance_id: str) -> tuple[int, int]:
        """The same for one utterance."""
        row = self._db.execute(
            "SELECT (SELECT COUNT(*) FROM takes WHERE utterance_id = id), extra_takes FROM utterances WHERE id = ?",
            (utterance_id,),
        ).fetchone()
        return int(row[0]), int(row[1])

    def grant_takes(self, utterance_ids: Iterable[str], extra: int) -> None:
        """Lets these be spoken ``extra`` times more, with new seeds (`omnitts job retry`)."""
        with self._db:
            self._db.executemany(
                "UPDATE utterances SET extra_takes = extra_takes + ? WHERE id = ?",
                [(extra, key) for key in utterance_ids],
            )

    # Facts about the job --------------------------------------------------------------------------------------------

    def get(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, values: Mapping[str, str]) -> None:
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(values.items()))

    def prune(self) -> int:
        """Deletes takes and clips that the present plan does not use; returns the bytes freed."""
        with self._db:
            gone = "SELECT id FROM utterances WHERE id NOT IN (SELECT utterance_id FROM pieces)"
            self._db.execute(f"DELETE FROM takes WHERE utterance_id IN ({gone})")
            self._db.execute(f"DELETE FROM utterances WHERE id IN ({gone})")
        used = {row[0] for row in self._db.execute("SELECT file FROM takes")}
        freed = 0
        for path in self.folder.clips.glob("*/*"):
            if path.relative_to(self.folder.clips).as_posix() not in used:
                freed += path.stat().st_size
                path.unlink()
        return freed

    def _update_status(self, utterance_id: str) -> None:
        """Accepted with one accepted take, else spoken while a take waits for its verdict, else rejected."""
        verdicts = [
            row[0] for row in self._db.execute("SELECT accepted FROM takes WHERE utterance_id = ?", (utterance_id,))
        ]
        status = Status.ACCEPTED if 1 in verdicts else Status.SPOKEN if None in verdicts else Status.REJECTED
        self._db.execute("UPDATE utterances SET status = ? WHERE id = ?", (status.value, utterance_id))


@contextmanager
def open_job(folder: JobFolder, *, must_exist: bool = False) -> Iterator[Job]:
    """Opens (or makes) a job and holds its lock. Raises `JobError`: in use, damaged, unknown, of another version."""
    if must_exist and not folder.store.exists():
        raise JobError("no such job", where=folder.name, hint="omnitts job list shows the jobs there are")
    lock = filelock.FileLock(folder.lock)
    try:
        folder.clips.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        hint = "another omnitts is working on it: wait for it or stop it"
        raise JobError("this job is in use", where=str(folder.path), hint=hint) from error
    except OSError as error:
        hint = f"give a folder that can be written: --job FOLDER, or the variable {HOME_VARIABLE}"
        what = f"the job folder cannot be made or written ({error.strerror or error})"
        raise JobError(what, where=str(folder.path), hint=hint) from error
    try:
        connection = _connect(folder.store)
        try:
            with _readable_errors(folder.store):
                yield Job(folder, connection)
        finally:
            connection.close()
    finally:
        lock.release()


@contextmanager
def read_job(folder: JobFolder) -> Iterator[Job]:
    """Opens a job only to look at it, also while another process works in it."""
    connection = _connect(folder.store)
    try:
        with _readable_errors(folder.store):
            yield Job(folder, connection)
    finally:
        connection.close()


def remove_job(folder: JobFolder) -> int:
    """Removes a job that nobody works in; returns the bytes freed. Files that are no part of the job stay.

    Raises `JobError`: in use, damaged, unknown.
    """
    with open_job(folder, must_exist=True):
        sizes = [path.stat().st_size for path in (folder.store, *folder.clips.rglob("*")) if path.is_file()]
        shutil.rmtree(folder.clips)
    for path in (*folder.path.glob(f"{folder.store.name}*"), folder.lock):
        path.unlink(missing_ok=True)
    if not any(folder.path.iterdir()):
        folder.path.rmdir()
    return sum(sizes)


@contextmanager
def _readable_errors(store: Path) -> Iterator[None]:
    """What SQLite reports while a job is open, as `OutputError` (no room, no access) or `JobError` (damage)."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _store_error(error, store) from error


def _store_error(error: sqlite3.DatabaseError, store: Path) -> OmnittsError:
    primary_code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if primary_code == sqlite3.SQLITE_FULL:
        hint = "free some space and run the same command again: finished work is kept"
        return OutputError("the disk is full", where=str(store), hint=hint)
    if primary_code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
        hint = f"check the disk and the permissions, or set {HOME_VARIABLE} to another folder"
        return OutputError(f"the job store cannot be written ({error})", where=str(store), hint=hint)
    if primary_code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return JobError("this job is in use", where=str(store.parent), hint="try again in a moment")
    return JobError(f"the job store is damaged ({error})", where=str(store), hint=AFRESH)


def _connect(store: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(store)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
        row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        if row is None:
            with connection:
                connection.execute("INSERT INTO meta VALUES ('schema', ?)", (str(SCHEMA_VERSION),))
    except sqlite3.DatabaseError as error:
        raise _store_error(error, store) from error
    if row is not None and int(row[0]) != SCHEMA_VERSION:
        connection.close()
        raise JobError(
            f"the job store has version {row[0]}, this omnitts reads {SCHEMA_VERSION}", where=str(store), hint=AFRESH
        )
    return connection


def _take_of(row: tuple[object, ...]) -> Take:
    utterance_id, take, seed, file, duration_s, sample_rate, synthesis_s, failure, verdict, checks = row
    clip = Clip(
        str(utterance_id), int(str(take)), int(str(seed)), str(file),
        float(str(duration_s)), int(str(sample_rate)), float(str(synthesis_s)),
    )  # fmt: skip
    return Take(clip, str(failure), _verdict_of(str(verdict)) if verdict is not None else None, str(checks))


def _verdict_of(text: str) -> Verdict:
    fields = json.loads(text)
    fields["reasons"] = tuple(fields["reasons"])
    fields["alignment"] = tuple(tuple(pair) for pair in fields["alignment"])
    return Verdict(**fields)


def _merit(take: Take) -> tuple[bool, bool, float, int]:
    score = take.verdict.score if take.verdict is not None else 0.0
    return take.is_accepted, not take.failure, score, -take.clip.take
