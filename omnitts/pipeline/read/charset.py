"""Bytes to text: byte order marks, declared and guessed encodings.

In: bytes, perhaps with the encoding the document declares. Out: text, the encoding used, and problems worth telling.
Deterministic, and fast on 10 MB: only a sample is handed to charset-normalizer. Knows no markup.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from charset_normalizer import from_bytes

from omnitts.errors import BookError, UsageError

SAMPLE_BYTES = 1 << 16
NOT_TEXT = "is not a text file"
# utf-32 first: its little-endian mark begins with that of utf-16.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# A text in a script of its own has more bytes above 127 than below; accents on Latin letters are far rarer.
NON_LATIN_SHARE = 0.25
NON_LATIN_CODECS = [
    "gb18030",
    "big5",
    "shift_jis",
    "euc_jp",
    "euc_kr",
    "cp1251",
    "koi8_r",
    "cp1253",
    "cp1255",
    "cp1256",
]
CONTROL_BYTES = bytes(set(range(32)) - {9, 10, 11, 12, 13, 27}) + b"\x7f"
MAX_CONTROL_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Decoded:
    """``text`` without byte order mark; ``problem`` is empty or one sentence for the book's owner."""

    text: str
    encoding: str
    problem: str = ""


def decode(data: bytes, *, where: str, override: str = "", declared: str = "") -> Decoded:
    """Decodes ``data``: by ``override``, else its byte order mark, else ``declared`` if it fits, else by its content.

    Raises `BookError` for binary data and for bytes that ``override`` cannot decode, `UsageError` for an ``override``
    that Python does not know.
    """
    if override:
        return _decode_as_told(data, override, where)
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return Decoded(data.decode(encoding, errors="replace"), encoding)
    if declared and (decoded := _decode_as_declared(data, declared)) is not None:
        return decoded
    if utf16 := _utf16_without_mark(data):
        return Decoded(data.decode(utf16, errors="replace"), utf16)
    if is_binary(data):
        raise BookError(NOT_TEXT, where=where, hint="give an .epub, .txt, .md or .html file")
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        return _decode_by_content(data)


def is_binary(data: bytes) -> bool:
    """Whether the head of ``data`` holds bytes that no text in an 8-bit or multi-byte encoding has."""
    sample = data[:SAMPLE_BYTES]
    if b"\0" in sample and not _utf16_without_mark(data):
        return True
    controls = len(sample) - len(sample.translate(None, CONTROL_BYTES))
    return controls > MAX_CONTROL_SHARE * len(sample) and not _utf16_without_mark(data)


def _decode_as_told(data: bytes, encoding: str, where: str) -> Decoded:
    try:
        return Decoded(data.decode(encoding).removeprefix("\ufeff"), encoding)
    except LookupError as error:
        raise UsageError(
            f"unknown encoding {encoding!r}", where="--encoding", hint="use a name such as utf-8"
        ) from error
    except UnicodeError as error:
        raise BookError(
            f"cannot be decoded as {encoding}", where=where, hint="leave out --encoding to have it found"
        ) from error


def _decode_as_declared(data: bytes, declared: str) -> Decoded | None:
    name = {"iso-8859-1": "cp1252", "latin-1": "cp1252", "latin1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030"}.get(
        declared.lower(),
        declared,  # what browsers do: the larger set of the same family
    )
    if name.lower().startswith(("utf-16", "utf16", "utf-32", "ucs-2")) and b"\0" not in data[:SAMPLE_BYTES]:
        return None  # a declaration kept from before a conversion
    try:
        return Decoded(data.decode(name), name)
    except (UnicodeError, LookupError):
        return None


def _utf16_without_mark(data: bytes) -> str:
    """``"utf-16-le"``, ``"utf-16-be"`` or nothing: Latin letters and spaces in UTF-16 have every other byte zero."""
    sample = data[: SAMPLE_BYTES & ~1]
    half = len(sample) // 2
    if half < 2 or b"\0" not in sample:
        return ""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > 0.2 * half and even < 0.02 * half:
        return "utf-16-le"
    if even > 0.2 * half and odd < 0.02 * half:
        return "utf-16-be"
    return ""


def _decode_by_content(data: bytes) -> Decoded:
    replaced = data.decode("utf-8", errors="replace")
    broken = replaced.count("\ufffd")
    intact = len(re.findall(r"[^\x00-\x7f\ufffd]", replaced))
    if intact > 5 * broken:
        return Decoded(replaced, "utf-8", f"{broken} damaged character(s): utf-8 with broken bytes")
    high = len(data) - len(data.translate(None, bytes(range(128, 256))))
    if high > NON_LATIN_SHARE * len(data):
        best = from_bytes(_sample_of(data), cp_isolation=NON_LATIN_CODECS).best()
        if best is not None:
            text = data.decode(best.encoding, errors="replace")
            return Decoded(text, best.encoding, f"encoding not declared; read as {best.encoding}")
    try:
        return Decoded(data.decode("cp1252"), "cp1252", "encoding not declared; read as cp1252 (Western European)")
    except UnicodeDecodeError:
        return Decoded(data.decode("latin-1"), "latin-1", "encoding not declared; read as latin-1")


def _sample_of(data: bytes) -> bytes:
    """Whole lines from the start of ``data``, so that no multi-byte character is cut."""
    if len(data) <= SAMPLE_BYTES:
        return data
    end = data.rfind(b"\n", 0, SAMPLE_BYTES)
    return data[: end + 1] if end > 0 else data[:SAMPLE_BYTES]
