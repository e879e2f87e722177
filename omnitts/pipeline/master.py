"""Master: a timeline in, the finished file or folder of files out, loud as asked, tagged, and read back.

Sound streams from the clips through a gain and a limiter into ffmpeg; memory does not grow with the book. Everything is
made in a hidden folder beside the result and gets its final name only after it has been probed and measured. Equal
input gives equal bytes (with the same ffmpeg). Knows nothing of jobs, text or engines.
"""

from __future__ import annotations

import base64
import dataclasses
import logging
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from omnitts import audio, ffmpeg
from omnitts.audio import FloatArray
from omnitts.errors import AudioError, FfmpegError, OutputError, UsageError
from omnitts.ffmpeg import ChapterMark, Encoder, Encoding, Probe
from omnitts.pipeline.formats import Format, choose_format, encoder_options
from omnitts.pipeline.loudness import Loudness, gain_for, limited, measure
from omnitts.pipeline.staging import publish, staged
from omnitts.pipeline.stitch import Timeline
from omnitts.pipeline.tags import Tags, chapter_comments, clean, file_tags, metadata_text
from omnitts.presets import find_preset
from omnitts.progress import Event, Progress, Silent

log = logging.getLogger(__name__)

DEFAULT_BITRATES_KBPS: Mapping[str, int] = {"m4b": 64, "mp3": 96, "opus": 32}
ENCODE_ROUNDS = 4  # of encoding again when the written file peaks too high or is not as loud as it was to be
LOUDNESS_TOLERANCE_LU = 0.3  # kept without another round; the promise is 0.5
PEAK_TOLERANCE_DB = 0.05
DURATION_TOLERANCE_S = 0.15  # coders round to their frames and pad their ends
CHAPTER_TOLERANCE_S = 0.05
CHECKED_TAGS = ("title", "artist", "comment")
EVENT_EVERY_S = 60.0
MAX_NAME_CHARS = 80
MAX_NAME_BYTES = 180  # file systems end names at 255 bytes; number, suffix and the staging folder need some


@dataclass(frozen=True, slots=True)
class MasterOptions:
    """How the result is made.

    ``format``: m4b, mp3, opus, flac, wav; empty for the suffix's. ``split``: ``none`` for one file, ``chapters`` for a
    folder of numbered files. ``sample_rate`` in hertz of the file, None for that of the timeline. ``bitrates_kbps`` by
    format, for lossy ones. ``cover`` is a picture's bytes.
    """

    format: str = ""
    split: str = "none"
    loudness_lufs: float = -19.0
    true_peak_dbtp: float = -3.0
    sample_rate: int | None = None
    bitrates_kbps: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_BITRATES_KBPS))
    cover: bytes | None = None


@dataclass(frozen=True, slots=True)
class Mastered:
    """What was written and what it measures. ``chapters`` are in the times of the whole book, whether split or not."""

    files: tuple[Path, ...]
    loudness_before: Loudness
    loudness_after: Loudness
    gain_db: float
    duration_s: float
    chapters: tuple[ChapterMark, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """One file to write."""

    name: str
    timeline: Timeline
    tags: dict[str, str]
    marks: tuple[ChapterMark, ...]


def load_master(name: str, **changes: Any) -> MasterOptions:
    """The options of a preset in ``masters/`` (``audiobook``, ``podcast`` ...), with ``changes`` to single fields.

    Raises `UsageError` for an unknown preset, or one whose file holds something else.
    """
    path = find_preset("masters", name)
    hint = "compare it with the shipped audiobook.yaml"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise UsageError(f"this preset cannot be read ({error})", where=str(path), hint=hint) from error
    if not isinstance(values, dict):
        raise UsageError("this preset is not a table of settings", where=str(path), hint=hint)
    kinds = {"loudness_lufs": float, "true_peak_dbtp": float, "sample_rate": int}
    options: dict[str, Any] = {}
    for key, value in values.items():
        if key in ("bitrates_kbps", "bitrate_kbps") and isinstance(value, dict):
            options["bitrates_kbps"] = {**DEFAULT_BITRATES_KBPS, **{str(k): int(v) for k, v in value.items()}}
        elif key in kinds and isinstance(value, (int, float)):
            options[key] = kinds[key](value)
        else:
            raise UsageError(f"this preset's setting {key!r} is unknown or no number", where=str(path), hint=hint)
    return MasterOptions(**{**options, **changes})


def master(
    timeline: Timeline, tags: Tags, out: Path, options: MasterOptions, progress: Progress | None = None
) -> Mastered:
    """Writes the book to ``out``, a file, or with ``split="chapters"`` a folder.

    Raises `UsageError` for an unknown format or split, `OutputError` when the result cannot be written or does not
    measure as it should, `FfmpegError`, and `JobError` for a broken clip. Then nothing has the final name.
    """
    if options.split not in ("none", "chapters"):
        raise UsageError(f"a book cannot be split by {options.split!r}", where="--split", hint="none or chapters")
    is_folder = options.split == "chapters"
    kind = choose_format(options.format, out, is_folder=is_folder)
    _refuse_place(out, is_folder)
    listener = progress or Silent()
    with staged(out) as stage:
        options = dataclasses.replace(options, cover=usable_cover(options.cover) if kind.cover else None)
        before = measure(_told(timeline.blocks(), timeline, "measure", listener), timeline.sample_rate)
        parts = _parts(timeline, tags, kind, out, is_folder)
        made, gain_db, after = _write(parts, timeline, kind, options, before, stage, listener)
        listener.emit(Event("assembly", {"step": "publish", "files": len(made)}))
        if is_folder:
            _publish_folder(made, out)
        else:
            publish(made[0], out)
    files = tuple(out / path.name for path in made) if is_folder else (out,)
    return Mastered(files, before, after, gain_db, timeline.duration_s, _marks(timeline))


def _write(
    parts: list[_Part],
    timeline: Timeline,
    kind: Format,
    options: MasterOptions,
    before: Loudness,
    stage: Path,
    listener: Progress,
) -> tuple[list[Path], float, Loudness]:
    """Encodes all parts, and again while the written files peak too high or could be nearer to their loudness.

    Returns the files, the gain in dB and what the files measure. Raises `OutputError` when the peak cannot be kept.
    """
    aim_lufs = options.loudness_lufs + kind.loss_db
    ceiling_dbtp = options.true_peak_dbtp - kind.headroom_db + kind.loss_db
    last_miss_lu = float("inf")
    for _ in range(ENCODE_ROUNDS):
        gain_db = gain_for(timeline.blocks, timeline.sample_rate, before, aim_lufs, ceiling_dbtp)
        made = []
        for part in parts:
            blocks = _told(part.timeline.blocks(), part.timeline, "encode", listener)
            sound = limited(blocks, timeline.sample_rate, gain_db, ceiling_dbtp)
            made.append(_encode(part, sound, kind, options, stage))
        after = _measure_files(made)
        excess_db = after.true_peak_dbtp - options.true_peak_dbtp
        miss_lu = options.loudness_lufs - after.integrated_lufs if after.is_measurable else 0.0
        is_low_enough = excess_db <= PEAK_TOLERANCE_DB
        # A miss that the last round did not make smaller is the limiter's doing: no gain will mend it.
        if is_low_enough and not LOUDNESS_TOLERANCE_LU < abs(miss_lu) < abs(last_miss_lu):
            return made, gain_db, after
        log.debug("encoding again: peak %+.1f dB, loudness %+.1f LU from what was asked", excess_db, -miss_lu)
        if not is_low_enough:
            ceiling_dbtp -= excess_db + 0.1
        if abs(miss_lu) > LOUDNESS_TOLERANCE_LU:
            aim_lufs += miss_lu
        last_miss_lu = miss_lu
    if is_low_enough:
        return made, gain_db, after
    raise OutputError(
        f"the file peaks at {after.true_peak_dbtp:.1f} dBTP, over the {options.true_peak_dbtp:.1f} allowed",
        where=parts[0].name,
        hint="choose a higher bitrate or a lower loudness",
    )


def _encode(part: _Part, sound: Iterable[FloatArray], kind: Format, options: MasterOptions, stage: Path) -> Path:
    path = stage / part.name
    rate = options.sample_rate or part.timeline.sample_rate
    tags = dict(part.tags)
    if options.cover is not None and kind.cover == "comment":
        tags["METADATA_BLOCK_PICTURE"] = picture_block(options.cover)
    marks = [(mark.title, mark.start_s, mark.end_s) for mark in part.marks]
    if kind.chapters == "comments":
        tags |= chapter_comments(marks)
        if "description" in tags:  # a Vorbis DESCRIPTION is read as the comment
            tags["synopsis"] = tags.pop("description")
    encoding = Encoding(
        muxer=kind.muxer,
        options=encoder_options(kind, rate, options.bitrates_kbps.get(kind.name), tags.get("language", "")),
        metadata=metadata_text(tags, marks if kind.chapters == "marks" else []),
        cover=options.cover if kind.cover == "stream" else None,
        speed=part.timeline.speed,
    )
    try:
        scratch = stage / ".scratch"
        scratch.mkdir(exist_ok=True)
        with Encoder(path, part.timeline.sample_rate, encoding, scratch) as encoder:
            for block in sound:
                encoder.write(block)
    except OSError as error:
        raise OutputError(f"cannot write ({error.strerror or error})", where=part.name, hint="make room") from error
    _verify(path, part, kind, has_cover=options.cover is not None)
    return path


def _verify(path: Path, part: _Part, kind: Format, *, has_cover: bool) -> None:
    """Reads the written file back. Raises `OutputError` naming the first thing that is not as it should be."""
    try:
        found = ffmpeg.probe(path, whole_track=True)
    except AudioError as error:
        raise OutputError(f"the written file cannot be read back ({error.what})", where=part.name) from error
    wrong = next(_differences(found, part, kind, has_cover=has_cover), None)
    if wrong:
        raise OutputError(
            f"the written file is not what was asked for: {wrong}", where=part.name, hint="try another ffmpeg"
        )


def _differences(found: Probe, part: _Part, kind: Format, *, has_cover: bool) -> Iterator[str]:
    wanted_s = part.timeline.duration_s
    tolerance_s = DURATION_TOLERANCE_S + (0.0005 * wanted_s if part.timeline.speed != 1.0 else 0.0)
    if abs(found.duration_s - wanted_s) > tolerance_s:
        yield f"it lasts {found.duration_s:.2f} s instead of {wanted_s:.2f} s"
    if kind.chapters:
        if len(found.chapters) != len(part.marks):
            yield f"it has {len(found.chapters)} chapters instead of {len(part.marks)}"
        for number, (mark, wanted) in enumerate(zip(found.chapters, part.marks, strict=False), start=1):
            if abs(mark.start_s - wanted.start_s) > CHAPTER_TOLERANCE_S:
                yield f"chapter {number} starts at {mark.start_s:.2f} s instead of {wanted.start_s:.2f} s"
            if mark.title != wanted.title:
                yield f"chapter {number} is called {mark.title!r} instead of {wanted.title!r}"
    for name in CHECKED_TAGS:
        if found.tags.get(name, "") != part.tags.get(name, ""):
            yield f"its {name} is {found.tags.get(name, '')!r} instead of {part.tags.get(name, '')!r}"
    if has_cover and kind.cover and not found.has_cover:
        yield "it has no cover"


def _parts(timeline: Timeline, tags: Tags, kind: Format, out: Path, is_folder: bool) -> list[_Part]:
    if not is_folder:
        return [_Part(out.name, timeline, file_tags(tags), _marks(timeline))]
    total = len(timeline.chapters)
    digits = max(2, len(str(total)))
    parts = []
    for idx, chapter in enumerate(timeline.chapters):
        alone = timeline.chapter_alone(idx)
        title = clean(chapter.title) or f"{idx + 1}"
        name = f"{idx + 1:0{digits}d} - {file_name(title)}.{kind.name}"
        parts.append(_Part(name, alone, file_tags(tags, track=(idx + 1, total), track_title=title), _marks(alone)))
    return parts


def _marks(timeline: Timeline) -> tuple[ChapterMark, ...]:
    return tuple(
        ChapterMark(timeline.seconds(chapter.start), timeline.seconds(chapter.end), clean(chapter.title) or f"{number}")
        for number, chapter in enumerate(timeline.chapters, start=1)
    )


def file_name(title: str) -> str:
    """A title as part of a file name on any file system."""
    name = re.sub(r'[\x00-\x1f<>:"/\\|?*]+', " ", title)
    name = re.sub(r"\s+", " ", name)[:MAX_NAME_CHARS].encode("utf-8")[:MAX_NAME_BYTES].decode("utf-8", "ignore")
    return name.strip(" .") or "untitled"


def usable_cover(cover: bytes | None) -> bytes | None:
    """A JPEG or PNG as it is, another picture as PNG; None, with a warning, for what is no picture."""
    if not cover:
        return None
    try:
        picture = cover if cover.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) else None
        as_png = ffmpeg.picture_as_png(cover)  # also the proof that it can be read
    except FfmpegError as error:
        ffmpeg.find_ffmpeg()
        log.warning("the cover is left out: it is not a picture that can be read (%s)", error.what)
        return None
    return picture or as_png


def picture_block(cover: bytes) -> str:
    """A cover as the base64 FLAC picture block that Ogg comments carry (RFC 9639 section 8.8)."""
    mime = b"image/png" if cover.startswith(b"\x89PNG") else b"image/jpeg"
    block = struct.pack(">II", 3, len(mime)) + mime + struct.pack(">IIIIII", 0, 0, 0, 0, 0, len(cover)) + cover
    return base64.b64encode(block).decode("ascii")


def _measure_files(files: list[Path]) -> Loudness:
    rate = ffmpeg.probe(files[0], whole_track=True).sample_rate
    blocks = (block for path in files for block in audio.stream(path, rate, block_s=5.0, whole_track=True))
    return measure((block.samples for block in blocks), rate)


def _told(blocks: Iterable[FloatArray], timeline: Timeline, step: str, listener: Progress) -> Iterator[FloatArray]:
    """Passes blocks on, with an event for each minute or so of sound."""
    position, told_s = 0, 0.0
    for block in blocks:
        yield block
        position += len(block)
        done_s = timeline.seconds(position)
        if done_s - told_s >= EVENT_EVERY_S or position == timeline.num_samples:
            told_s = done_s
            listener.emit(
                Event("assembly", {"step": step, "done_s": round(done_s, 1), "total_s": round(timeline.duration_s, 1)})
            )


def _refuse_place(out: Path, is_folder: bool) -> None:
    if is_folder and out.exists() and not out.is_dir():
        raise OutputError("this is a file; a book split by chapters needs a folder", where=str(out), hint="change -o")
    if not is_folder and out.is_dir():
        raise OutputError("this is a folder, not a file", where=str(out), hint="add a file name to -o")


def _publish_folder(made: list[Path], out: Path) -> None:
    try:
        out.mkdir(exist_ok=True)
        strangers = sorted({path.name for path in out.iterdir()} - {path.name for path in made})
    except OSError as error:
        raise OutputError(
            f"cannot write ({error.strerror or error})", where=str(out), hint="check the folder"
        ) from error
    if strangers:
        log.warning("%s also holds files that are not of this book, such as %s", out, strangers[0])
    for path in made:
        publish(path, out / path.name)
