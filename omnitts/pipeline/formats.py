"""Formats: what each kind of finished file can hold, and the ffmpeg options that write it. A table; starts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from omnitts.errors import UsageError
from omnitts.pipeline.tags import three_letters


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file.

    ``chapters`` is how marks get in: ``marks`` (ffmpeg's own way), ``comments`` (CHAPTER000 and so on, as Vorbis
    comments) or "" for not at all; ``cover``: ``stream``, ``comment`` or "". ``headroom_db`` is kept under the
    true-peak ceiling because the coder raises peaks; ``loss_db`` is how much softer the coder makes speech (measured).
    ``rate`` is the only sample rate the codec has, if there is one.
    """

    name: str
    muxer: str
    options: Mapping[str, Any]
    is_lossy: bool
    chapters: str
    cover: str
    headroom_db: float = 0.0
    loss_db: float = 0.0
    rate: int | None = None


FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        "m4b": Format(
            "m4b",
            "ipod",
            {"c:a": "aac", "movflags": "+faststart", "brand": "M4B "},
            is_lossy=True,
            chapters="marks",
            cover="stream",
            headroom_db=0.5,
        ),
        "mp3": Format(
            "mp3",
            "mp3",
            {"c:a": "libmp3lame", "id3v2_version": 3, "write_xing": 1},
            is_lossy=True,
            chapters="marks",
            cover="stream",
            headroom_db=0.5,
            loss_db=0.45,
        ),
        "opus": Format(
            "opus",
            "opus",
            {"c:a": "libopus", "application": "audio"},
            is_lossy=True,
            chapters="comments",
            cover="comment",
            headroom_db=1.0,
            loss_db=0.3,
            rate=48_000,
        ),
        "flac": Format(
            "flac",
            "flac",
            {"c:a": "flac", "sample_fmt": "s16", "compression_level": 5},
            is_lossy=False,
            chapters="comments",
            cover="stream",
        ),
        "wav": Format("wav", "wav", {"c:a": "pcm_s16le", "rf64": "auto"}, is_lossy=False, chapters="", cover=""),
    }
)
DEFAULT_FORMAT: Final = "m4b"
SUFFIXES: Final[Mapping[str, str]] = MappingProxyType({"m4a": "m4b", "mp4": "m4b", "wave": "wav", "ogg": "opus"})


def choose_format(name: str, out: Path, *, is_folder: bool = False) -> Format:
    """The format called ``name``; without a name, that of the suffix. A folder without a name gets ``DEFAULT_FORMAT``.

    Raises `UsageError` for one there is none of, and when name and suffix contradict each other.
    """
    suffix = out.suffix.lstrip(".").lower()
    by_suffix = SUFFIXES.get(suffix, suffix)
    wanted = name.lower().lstrip(".")
    wanted = SUFFIXES.get(wanted, wanted)
    hint = f"choose one of {', '.join(FORMATS)}"
    if is_folder:
        wanted = wanted or DEFAULT_FORMAT
    elif wanted and by_suffix in FORMATS and wanted != by_suffix:
        raise UsageError(f"--format {name} contradicts the suffix .{suffix}", where=str(out), hint="give one of them")
    if not wanted:
        if not suffix:
            raise UsageError("the output has no suffix to tell its format", where=str(out), hint=hint)
        wanted = by_suffix
    if wanted not in FORMATS:
        raise UsageError(f"no format is called {wanted!r}", where=str(out), hint=hint)
    return FORMATS[wanted]


def encoder_options(kind: Format, sample_rate: int, bitrate_kbps: int | None, language: str) -> dict[str, Any]:
    """ffmpeg's output options for a file of this kind. ``sample_rate`` in hertz is what the file shall have."""
    options = {**kind.options, "ar": kind.rate or sample_rate}
    if kind.is_lossy and bitrate_kbps:
        options["b:a"] = f"{bitrate_kbps}k"
    code = three_letters(language)
    if code and kind.name == "m4b":
        options["metadata:s:a:0"] = f"language={code}"
    return options
