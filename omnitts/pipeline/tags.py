"""Tags: what a finished file says of itself, as text in ffmpeg's metadata format. Plain strings; writes nothing.

The "AI-narrated" mark goes into the comment, the one field that m4b, mp3, opus, flac and wav all keep.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from omnitts import __version__

GENRE = "Audiobook"
AI_NARRATED = "AI-narrated"
HASH_CHARS = 16  # of a voice's sha256: enough to tell voices apart, short enough to read out

# ISO 639-1 to 639-2/T, which MP4 wants; others are written as they are where the format allows it.
THREE_LETTERS = {
    "ar": "ara", "cs": "ces", "da": "dan", "de": "deu", "el": "ell", "en": "eng", "es": "spa", "fi": "fin", "fr": "fra",
    "he": "heb", "hi": "hin", "hu": "hun", "id": "ind", "it": "ita", "ja": "jpn", "ko": "kor", "la": "lat", "nl": "nld",
    "no": "nor", "pl": "pol", "pt": "por", "ro": "ron", "ru": "rus", "sv": "swe", "th": "tha", "tr": "tur", "uk": "ukr",
    "vi": "vie", "yue": "yue", "zh": "zho",
}  # fmt: skip

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_SPECIAL = re.compile(r"([=;#\\\n])")


@dataclass(frozen=True, slots=True)
class Tags:
    """What is known of a book and of how it was spoken. Empty fields are left out.

    ``engine`` is an engine's description, ``model_revision`` its revision, ``voice_digest`` the sha256 of the reference
    voice ("" for an engine's own narrator). ``language`` is a BCP 47 tag.
    """

    title: str
    authors: tuple[str, ...] = ()
    narrator: str = ""
    language: str = ""
    date: str = ""
    publisher: str = ""
    description: str = ""
    engine: str = ""
    model_revision: str = ""
    voice_digest: str = ""

    @property
    def provenance(self) -> str:
        """``AI-narrated by omnitts 1.2 (engine ...; model ...; voice sha256:...)``: the comment."""
        parts = [
            f"engine {self.engine}" if self.engine else "",
            f"model {self.model_revision}" if self.model_revision else "",
            f"voice sha256:{self.voice_digest[:HASH_CHARS]}" if self.voice_digest else "voice of the engine",
        ]
        return f"{AI_NARRATED} by omnitts {__version__} ({'; '.join(part for part in parts if part)})"


def file_tags(tags: Tags, *, track: tuple[int, int] | None = None, track_title: str = "") -> dict[str, str]:
    """ffmpeg's generic tag names and values; ``track`` is (number, of how many) for one file of a split book."""
    author = ", ".join(tags.authors)
    values = {
        "title": track_title if track else tags.title,
        "album": tags.title,
        "artist": author,
        "album_artist": author,
        "composer": tags.narrator,
        "genre": GENRE,
        "date": tags.date,
        "publisher": tags.publisher,
        "description": tags.description,
        "language": tags.language,
        "track": f"{track[0]}/{track[1]}" if track else "",
        "comment": tags.provenance,
    }
    cleaned = {name: clean(value) for name, value in values.items()}
    return {name: value for name, value in cleaned.items() if value}


def metadata_text(values: dict[str, str], chapters: Iterable[tuple[str, float, float]] = ()) -> str:
    """The file that ffmpeg reads tags and chapters from; ``chapters`` are (title, start_s, end_s)."""
    lines = [";FFMETADATA1", *(f"{name}={_escape(value)}" for name, value in values.items())]
    for title, start_s, end_s in chapters:
        lines += ["[CHAPTER]", "TIMEBASE=1/1000", f"START={round(start_s * 1000)}", f"END={round(end_s * 1000)}"]
        lines.append(f"title={_escape(clean(title))}")
    return "\n".join(lines) + "\n"


def chapter_comments(chapters: Iterable[tuple[str, float, float]]) -> dict[str, str]:
    """Chapters as Vorbis comments (``CHAPTER000=00:00:24.555``, ``CHAPTER000NAME=...``), for Opus and FLAC.

    ffmpeg's own writer rounds seconds and milliseconds apart (24.555 becomes 25.555) and skips FLAC.
    """
    comments: dict[str, str] = {}
    for idx, (title, start_s, _) in enumerate(chapters):
        seconds, milliseconds = divmod(round(start_s * 1000), 1000)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        comments[f"CHAPTER{idx:03d}"] = f"{hours:02d}:{minutes:02d}:{seconds:02d}.{milliseconds:03d}"
        comments[f"CHAPTER{idx:03d}NAME"] = clean(title)
    return comments


def clean(value: str) -> str:
    """Without control characters and half surrogate pairs, which no format holds; line breaks stay."""
    text = _CONTROL.sub(" ", value.replace("\r\n", "\n").replace("\r", "\n"))
    return text.strip()


def three_letters(language: str) -> str:
    """ISO 639-2 code of a BCP 47 tag, or empty when there is none in the table."""
    primary = language.replace("_", "-").split("-")[0].lower()
    return THREE_LETTERS.get(primary, primary if len(primary) == 3 else "")


def _escape(value: str) -> str:
    return _SPECIAL.sub(r"\\\1", value)
