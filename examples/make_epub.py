"""Builds `aesop-four-fables.epub`: a short, complete EPUB 3 with all that a reader of books has to cope with.

    python examples/make_epub.py [OUT]

Standard library only, and the same bytes every time. Four of Aesop's fables in new words, given to the public domain
(CC0 1.0); a cover drawn by this script, a title page, a copyright page, a table of contents, a note, a scene break,
a list, a verse, numbers, a date and abbreviations.
"""

from __future__ import annotations

import struct
import sys
import zipfile
import zlib
from pathlib import Path

TITLE = "Four Fables of Aesop"
IDENTIFIER = "urn:uuid:5e0f6f0e-6d0c-5c1e-9a52-0f6a1e0a7b41"
MODIFIED = "2025-01-01T00:00:00Z"
DEFAULT_OUT = Path(__file__).parent / "aesop-four-fables.epub"
COVER_SIZE = (320, 480)  # width, height in pixels

PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" xml:lang="en" lang="en">
<head><title>{title}</title><link rel="stylesheet" type="text/css" href="style.css"/></head>
<body>
{body}
</body>
</html>
"""

COVER = '<section epub:type="cover"><p><img src="cover.png" alt="Four Fables of Aesop"/></p></section>'

TITLE_PAGE = """<section epub:type="titlepage">
<h1>Four Fables of Aesop</h1>
<p>Told again in plain words</p>
</section>"""

COPYRIGHT = """<section epub:type="copyright-page">
<p>The fables are more than two thousand years old and belong to everyone.</p>
<p>No copyright is claimed in this telling of them. It is dedicated to the public domain under the Creative Commons
CC0 1.0 Universal dedication.</p>
</section>"""

CHAPTERS = [
    (
        "chapter1",
        "Chapter I",
        "The Fox and the Crow",
        """<p><span class="dropcap">O</span>ne fine morning a crow found a large piece of cheese. She took it in her
        beak and
flew up into a tall tree to eat it in peace.</p>
<p>A fox came walking by under the tree. He had eaten nothing since the day before, and he could smell the cheese. He
looked up and saw the crow, and he thought of a plan.</p>
<p>“Good morning, my dear friend,” he said. “How well you look today! Your feathers are black and bright, and your eyes
shine like the stars. I am sure that your voice is just as lovely. If I could hear you sing one song, I would call you
the queen of all the birds.”</p>
<p>The crow was very pleased to hear this. She wanted to show the fox how well she could sing. So she lifted her head
and opened her beak, and the cheese fell to the ground.</p>
<p>The fox ate it in a moment.</p>
<p>“Thank you,” he said. “That was all I wanted. In return, here is a word of advice. Do not trust everyone who says
kind things about you.”</p>""",
    ),
    (
        "chapter2",
        "Chapter II",
        "The Hare and the Tortoise",
        """<p>The hare was always laughing at the tortoise because she was so slow. “Do you ever get anywhere?” he asked
her one day.</p>
<p>“Yes,” said the tortoise, “and I get there sooner than you think. Let us run a race, and I will show you.”</p>
<p>The hare thought that this was a very good joke, so he said yes. The race was set for the 3rd of May, at 10 o’clock
in the morning. The fox marked the way. It was 2 miles long, from the old bridge to the great tree on the hill.</p>
<p>They started together, and soon the hare was so far ahead that he could not see the tortoise at all. “I have plenty
of time,” he said. He lay down in the warm grass beside the road, and in a few minutes he was asleep.</p>
<hr/>
<p>The sun was low when the hare woke up. He ran as fast as he could, but he was too late. The tortoise had walked past
him while he slept, step by step, and she had never stopped. She was waiting for him under the tree.</p>
<p>Slow and steady wins the race.<a epub:type="noteref" role="doc-noteref" href="#note1" id="ref1"><sup>1</sup></a></p>
<aside epub:type="footnote" role="doc-footnote" id="note1"><p>This is how the story is most often remembered, but the
oldest books do not end with these words.</p></aside>""",
    ),
    (
        "chapter3",
        "Chapter III",
        "The Wind and the Sun",
        """<p>The wind and the sun once had an argument about which of them was the stronger. While they were talking,
        they
saw a man coming down the road. He was wearing a heavy coat.</p>
<p>“I know how we can decide,” said the sun. “Whichever of us can make that man take off his coat is the stronger. You
may begin.”</p>
<p>So the sun went behind a cloud, and the wind began to blow. He blew as hard as he could. He bent the trees and he
pulled the leaves from the branches. But the harder he blew, the closer the man held his coat around him. At last the
wind had to give up.</p>
<p>Then the sun came out. At first she shone gently, and the man opened his coat. She shone a little warmer, and he
wiped his face with his hand. Soon he was so hot that he could not walk another step. He took off his coat and sat down
in the shade.</p>
<blockquote><p class="verse">A gentle word, a friendly smile,<br/>will get you further, mile by
mile.</p></blockquote>""",
    ),
    (
        "chapter4",
        "Chapter IV",
        "The Goose with the Golden Eggs",
        """<p>A farmer and his wife had a goose. One day, when the farmer went to the nest, he found an egg that was
        yellow
and very heavy. He took it home, and his wife saw at once that it was made of pure gold. Mr. Hill, who kept the shop in
the town, gave them $100 for it.</p>
<p>Every morning the same thing happened. There was one golden egg in the nest, and never more than one. The farmer
became rich, and with the money he bought three things:</p>
<ul>
<li>a new house with a red door,</li>
<li>a fine white horse,</li>
<li>and a gold watch for his wife.</li>
</ul>
<p>But as he grew rich, he also grew greedy. “Why should we wait for one egg a day?” he said to his wife. “The goose
must
be full of gold. Let us open her and take it all at once.”</p>
<p>They killed the goose and looked inside. There was no gold at all. She was just like every other goose. And now they
had no more eggs, and no one to blame but themselves.</p>
<p>Those who want too much may lose what they have.</p>""",
    ),
]

STYLE = """body { margin: 1em; }
h1, h2 { text-align: center; }
.dropcap { font-size: 2em; }
"""

CONTAINER = """<?xml version="1.0" encoding="UTF-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
  <rootfiles><rootfile full-path="EPUB/package.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>
"""


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_OUT
    write_epub(out)
    print(out)


def write_epub(out: Path) -> None:
    """Writes the book; the mimetype comes first and uncompressed, as the format demands."""
    with zipfile.ZipFile(out, "w") as archive:
        _add(archive, "mimetype", b"application/epub+zip", zipfile.ZIP_STORED)
        for path, content in files().items():
            _add(archive, path, content, zipfile.ZIP_DEFLATED)


def files() -> dict[str, bytes]:
    """Every file of the book but the mimetype, by its path."""
    pages = {"cover": ("Cover", COVER), "title": (TITLE, TITLE_PAGE), "copyright": ("Copyright", COPYRIGHT)}
    for name, label, title, text in CHAPTERS:
        heading = f"<h2>{label}<br/>{title}</h2>"
        pages[name] = (title, f'<section epub:type="chapter" role="doc-chapter">\n{heading}\n{text}\n</section>')
    texts = {
        "META-INF/container.xml": CONTAINER,
        "EPUB/package.opf": package(list(pages)),
        "EPUB/nav.xhtml": nav(),
        "EPUB/style.css": STYLE,
        **{f"EPUB/{name}.xhtml": PAGE.format(title=title, body=body) for name, (title, body) in pages.items()},
    }
    return {path: text.encode() for path, text in texts.items()} | {"EPUB/cover.png": cover_png()}


def package(pages: list[str]) -> str:
    """The package file: metadata, manifest and reading order."""
    items = "\n".join(
        f'    <item id="{page}" href="{page}.xhtml" media-type="application/xhtml+xml"/>' for page in pages
    )
    order = ["cover", "title", "copyright", "nav", *(name for name, *_ in CHAPTERS)]
    spine = "\n".join(f'    <itemref idref="{page}"/>' for page in order)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="en">
  <metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
    <dc:identifier id="id">{IDENTIFIER}</dc:identifier>
    <dc:title>{TITLE}</dc:title>
    <dc:creator id="author">Aesop</dc:creator>
    <meta refines="#author" property="role" scheme="marc:relators">aut</meta>
    <dc:language>en</dc:language>
    <dc:date>2025-01-01</dc:date>
    <dc:description>Four short fables in plain words: an example book.</dc:description>
    <dc:rights>Public domain (CC0 1.0)</dc:rights>
    <meta property="dcterms:modified">{MODIFIED}</meta>
  </metadata>
  <manifest>
    <item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
    <item id="style" href="style.css" media-type="text/css"/>
    <item id="cover-image" href="cover.png" media-type="image/png" properties="cover-image"/>
{items}
  </manifest>
  <spine>
{spine}
  </spine>
</package>
"""


def nav() -> str:
    """The table of contents."""
    lines = "\n".join(f'<li><a href="{name}.xhtml">{label}: {title}</a></li>' for name, label, title, _ in CHAPTERS)
    body = f'<nav epub:type="toc" role="doc-toc" id="toc">\n<h1>Contents</h1>\n<ol>\n{lines}\n</ol>\n</nav>'
    return PAGE.format(title="Contents", body=body)


def cover_png() -> bytes:
    """A yellow sun over a green hill, as a PNG."""
    width, height = COVER_SIZE
    rows = b"".join(b"\0" + b"".join(_pixel(x, y) for x in range(width)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")
    )


def _pixel(x: int, y: int) -> bytes:
    if (x - 160) ** 2 + (y - 170) ** 2 < 70**2:
        return b"\xf5\xc5\x42"
    if y > 330 + (x - 160) ** 2 // 400:
        return b"\x4f\x8a\x5b"
    return b"\xcf\xe3\xf2"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _add(archive: zipfile.ZipFile, path: str, content: bytes, method: int) -> None:
    info = zipfile.ZipInfo(path, date_time=(2025, 1, 1, 0, 0, 0))  # not the clock: the same bytes every time
    info.compress_type = method
    info.external_attr = 0o644 << 16
    info.create_system = 3
    archive.writestr(info, content)


if __name__ == "__main__":
    main()
