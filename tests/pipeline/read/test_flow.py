"""Single pages: what a listener hears of each kind of markup."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from omnitts.types import Book
from tests.pipeline.read.shapes import blocks, texts

Read = Callable[..., Book]


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ('<p><span class="drop">T</span>HE old man</p>', "THE old man"),
        ('<p><img src="t.png" alt="T"/>he old man</p>', "The old man"),
        ("<p>an ex\u00adtra\u200bordinary&nbsp;day</p>", "an extraordinary day"),
        ("<p><ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp>字<rt>ji</rt></ruby>です</p>", "漢字です"),
        ('<p>before<span epub:type="pagebreak" title="12">12</span> after</p>', "before after"),
        ('<p>before <span class="pagenum">[Pg 12]</span>after</p>', "before after"),
        ("<p>the 1<sup>st</sup> of May</p>", "the 1st of May"),
        ("<p>10<sup>6</sup> and H<sub>2</sub>O</p>", "10⁶ and H₂O"),
        ("<p>caf&eacute; &amp; tea &mdash; R&D</p>", "café & tea — R&D"),
        ('<p>seen <span hidden="hidden">not</span> <i style="display: none">nor</i>heard</p>', "seen heard"),
        ("<p>one<script>bad()</script><!-- no --><style>p{}</style> two</p>", "one two"),
        ('<p>where <math alttext="x plus y"><mi>x</mi></math> is</p>', "where x plus y is"),
        (
            "<div>loose text<br/>goes on, with a line that is far too long to be a verse of any "
            "poem at all, really</div>",
            "loose text",
        ),
    ],
)
def test_inline(read_pages: Read, markup: str, expected: str) -> None:
    assert texts(read_pages(markup))[0] == expected


def test_block_kinds(read_pages: Read) -> None:
    page = """<h1>One</h1><p>Plain.</p><blockquote><p>Quoted.</p></blockquote>
        <ol start="3"><li>three</li><li><p>four</p><p>more</p></li></ol><ul><li>dot<ul><li>inner</li></ul></li></ul>
        <figure><img alt="a tree"/><figcaption>A tree.</figcaption></figure>
        <table><tr><th>Name</th><th>Age</th></tr><tr><td>Ann</td><td>7</td></tr></table>
        <p>End.</p><hr/><p>* * *</p><p>After.</p>"""
    assert blocks(read_pages(page)) == [
        ("heading", "One"),
        ("paragraph", "Plain."),
        ("quote", "Quoted."),
        ("list_item", "3. three"),
        ("list_item", "4. four"),
        ("list_item", "more"),
        ("list_item", "dot"),
        ("list_item", "inner"),
        ("caption", "A tree."),
        ("table", "Name, Age"),
        ("table", "Ann, 7"),
        ("paragraph", "End."),
        ("scene_break", ""),
        ("paragraph", "After."),
    ]


@pytest.mark.parametrize(
    "markup",
    [
        "<p>Roses are red,<br/>violets are blue</p>",
        '<div class="poem"><div class="stanza"><p>Roses are red,</p><p>violets are blue</p></div></div>',
        '<div class="poem"><div class="stanza"><span>Roses are red,<br/></span>'
        "<span>violets are blue<br/></span></div></div>",
        "<pre>Roses are red,\nviolets are blue</pre>",
        '<blockquote class="verse"><p>Roses are red,<br/>violets are blue</p></blockquote>',
    ],
)
def test_verse_keeps_its_lines(read_pages: Read, markup: str) -> None:
    assert blocks(read_pages(markup)) == [("verse", "Roses are red,\nviolets are blue")]


def test_layout_tables_and_double_breaks_are_paragraphs(read_pages: Read) -> None:
    page = "<table><tr><td><p>One.</p><p>Two.</p></td></tr></table><div>Three.<br/><br/>Four.</div>"
    assert texts(read_pages(page)) == ["One.", "Two.", "Three.", "Four."]


def test_deep_nesting_and_unclosed_tags(read_pages: Read) -> None:
    deep = "<div>" * 1500 + "bottom" + "</div>" * 1500
    assert texts(read_pages("<p>one<p>two<b>three</p>" + deep)) == ["one", "twothree", "bottom"]


def test_two_line_headings(read_pages: Read) -> None:
    book = read_pages("<h2>CHAPTER I<br/>THE EVE OF WAR</h2><p>Text.</p>", "<h2>THE<br/>LAST DAY</h2><p>Text.</p>")
    assert blocks(book)[:2] == [("heading", "CHAPTER I"), ("heading", "THE EVE OF WAR")]
    assert ("heading", "THE LAST DAY") in blocks(book)
