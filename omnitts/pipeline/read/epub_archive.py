"""The zip of an EPUB: safe, forgiving access to its files by href, and protection named as such.

Knows zip and ``META-INF/``; nothing of packages or chapters. Reads are bounded, so a zip bomb is an error, not a full
memory.
"""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from typing import IO
from urllib.parse import unquote

from lxml import etree

from omnitts.errors import BookError
from omnitts.pipeline.read.markup import parse_xml

MAX_ENTRY_BYTES = 128 << 20
MAX_TOTAL_BYTES = 768 << 20
MAX_ENTRIES = 100_000
# The two ways of obscuring embedded fonts; everything else that is encrypted is content.
FONT_OBFUSCATION = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
PROTECTION_FILES = (
    ("META-INF/license.lcpl", "Readium LCP"),
    ("META-INF/sinf.xml", "Apple FairPlay"),
    ("META-INF/rights.xml", "Adobe ADEPT"),
)
NO_DRM_HINT = "omnitts does not remove protection; use a copy without DRM, from the publisher or an open library"


class EpubArchive:
    """An opened EPUB. ``name`` is how errors call it. Raises `BookError` when it is no zip, damaged or encrypted."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name = name
        self._read_bytes = 0
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise BookError(
                "is not a readable zip, so not an EPUB", where=name, hint="the file may be cut short; get it again"
            ) from error
        infos = self._zip.infolist()
        if len(infos) > MAX_ENTRIES:
            raise BookError(f"holds {len(infos)} files, which no book does", where=name)
        if any(info.flag_bits & 1 for info in infos):
            raise BookError("is a zip with a password", where=name, hint="unpack it and make an EPUB without one")
        self._infos = {info.filename: info for info in infos if not info.is_dir()}
        self._folded = {_fold(path): path for path in reversed(self._infos)}

    def __enter__(self) -> EpubArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    @property
    def paths(self) -> list[str]:
        """All files, in the zip's order."""
        return list(self._infos)

    def find(self, path: str) -> str | None:
        """The file meant by ``path``: exact, else whatever its case, slashes, ``./`` or missing folder."""
        if path in self._infos:
            return path
        return self._folded.get(_fold(path))

    def read(self, path: str) -> bytes:
        """The bytes of an existing file. Raises `BookError` when it is damaged or larger than any page of a book."""
        try:
            with self._zip.open(self._infos[path]) as file:
                data = file.read(MAX_ENTRY_BYTES + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            raise BookError(
                "is damaged inside the EPUB", where=f"{self.name}: {path}", hint="get the book again"
            ) from error
        self._read_bytes += len(data)
        if len(data) > MAX_ENTRY_BYTES or self._read_bytes > MAX_TOTAL_BYTES:
            raise BookError(
                "unpacks to more than any book holds", where=f"{self.name}: {path}", hint="this looks like a zip bomb"
            )
        return data


def refuse_protected(archive: EpubArchive, content_paths: set[str]) -> None:
    """Raises `BookError` naming the protection when one of ``content_paths``, or a file of unknown use, is
    encrypted.
    """
    encrypted = _encrypted_paths(archive)
    scheme = next((scheme for path, scheme in PROTECTION_FILES if archive.find(path)), "")
    if encrypted is None or encrypted & content_paths:
        raise BookError(f"is protected by DRM ({scheme or 'encrypted content'})", where=archive.name, hint=NO_DRM_HINT)
    if scheme and encrypted:
        raise BookError(f"is protected by DRM ({scheme})", where=archive.name, hint=NO_DRM_HINT)


def _encrypted_paths(archive: EpubArchive) -> set[str] | None:
    """Files encrypted by more than font obfuscation; None when something is encrypted that is not named."""
    path = archive.find("META-INF/encryption.xml")
    if path is None:
        return set()
    try:
        root = parse_xml(archive.read(path), f"{archive.name}: {path}")
    except BookError:
        return set()
    encrypted: set[str] = set()
    for entry in root.iter("EncryptedData", "encrypteddata"):
        if _algorithm(entry) in FONT_OBFUSCATION:
            continue
        reference = next(entry.iter("CipherReference", "cipherreference"), None)
        uri = "" if reference is None else reference.get("URI", "")
        if not uri:
            return None
        encrypted.add(archive.find(uri) or uri)
    return encrypted


def _algorithm(entry: etree._Element) -> str:
    method = next(entry.iter("EncryptionMethod", "encryptionmethod"), None)
    return "" if method is None else method.get("Algorithm", "")


def _fold(path: str) -> str:
    return posixpath.normpath(unquote(path).replace("\\", "/")).lstrip("/").casefold()
