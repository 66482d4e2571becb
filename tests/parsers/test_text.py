"""Readable text: one normal form for plain text and HTML."""

import time

import pytest

from parsers import hiding as reader
from parsers.bounds import MAX_ATTRIBUTES, MAX_DEPTH, MAX_TAGS
from parsers.errors import Unreadable
from parsers.html import read_html
from parsers.text import label_key, normal, plain_lines


def lines_of(html: str) -> list[str]:
    return [line.text for line in read_html(html).lines]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("  Unit:\u00a0\u00a0B204 ", "Unit: B204"),
        ("Un\u200bit: B\u00ad204\ufeff", "Unit: B204"),
        ("Ｕｎｉｔ: Ｂ２０４", "Unit: B204"),
        ("B2\x0004", "B2\ufffd04"),
    ],
)
def test_one_normal_form(written: str, expected: str) -> None:
    """Spaces, zero-width characters and wide forms do not count; what no text holds is marked."""
    assert expected == normal(written)


def test_rows_are_lines_of_cells() -> None:
    """A table row is one line whose cells are kept."""
    page = read_html("<table><tr><td><b>Unit</b></td><td><span>B204</span></td></tr></table>")
    assert [line.cells for line in page.lines] == [("Unit", "B204")]


@pytest.mark.parametrize(
    ("row", "cells", "header"),
    [
        ("<th>Unit<th>Rent", ("Unit", "Rent"), True),
        ("<th>Unit<td>B204", ("Unit", "B204"), False),
        ("<th>Unit<script>x</script><th><b>Rent</b> <i>due</i>", ("Unit", "Rent due"), True),
        ("<th><b>Move-in</b><style>x</style>", ("Move-in",), True),
        ("<th>Unit: <b>B204</b>", ("Unit: B204",), False),
        ("<td> Unit\n<td><a>B</a><!-- x --><i>204</i> ", ("Unit", "B204"), False),
        ("<td>Unit<td><td>", ("Unit", "", ""), False),
        ("<td>Größe&nbsp;<td> Ｂ２０４", ("Größe", "B204"), False),
        ("<td>a&#1;<td>\2 b", ("a\ufffd", "\ufffd b"), False),
    ],
)
def test_a_row_keeps_its_cells_and_whether_they_are_headings(row: str, cells: tuple[str, ...], header: bool) -> None:
    """Inline elements and comments do not part a cell, and what is unseen makes a heading no less one."""
    for table in (f"<table><tr>{row}</table>", f"<table><tr>{row}</tr><tr><td>x<p>y</p></table>"):
        line = read_html(table).lines[0]
        assert (line.cells, line.header) == (cells, header)


def test_blocks_breaks_and_items_are_lines() -> None:
    """Blocks, line breaks and list items each give a line."""
    assert lines_of("<div>a<br>b</div><ul><li>c</li><li>d <i>e</i></li></ul><p>f") == ["a", "b", "c", "d e", "f"]


@pytest.mark.parametrize(
    ("html", "lines"),
    [
        ("<pre>Unit: A1\nThank you\r\n</pre>", ["Unit: A1", "Thank you"]),
        ("<pre>\n<b>Unit</b>: <a>A1</a>\nTenant <i>7\n</i>\n</pre>x\ny", ["Unit: A1", "Tenant 7", "x y"]),
        ("<PRE style='color:red'>a\nb</PRE>", ["a", "b"]),
        ("<xmp>a\n<b></xmp>", ["a", "<b>"]),
        *[
            (f"<div style='color: red; WHITE-SPACE : {word}'>a\n<span>b\nc</span></div>", ["a", "b", "c"])
            for word in ("pre", "pre-wrap !important", "pre-line", "break-spaces")
        ],
        ("<p style='white-space:pre-wrap;white-space:-moz-pre-wrap'>a\nb</p>", ["a", "b"]),
        (
            "<div style='white-space:nowrap'>a\nb</div><p style='white-space:pre; white-space:normal'>c\nd",
            ["a b", "c d"],
        ),
        ("<pre>a\n<span style='white-space:normal'>b\nc<pre>d\ne</pre></span>\nf</pre>", ["a", "b c", "d", "e", "f"]),
        ("<body style='line-break: after-white-space'><p>a\nb</p><pre>c\nd</pre>", ["a b", "c", "d"]),
        ("<pre>\n<table>\n<tr>\n<td>\nUnit</td>\n<td>A1\n</td>\n</tr>\n</table>\nx</pre>", ["Unit\tA1", "x"]),
        ("<table><tr><td><pre>Unit: A1\nTenant: 7</pre></td></tr></table>", ["Unit: A1", "Tenant: 7"]),
        ("<table><tr><td>x<td style='white-space:pre-line'>a\nb</table>", ["x", "a", "b"]),
        ("<pre>a\n<!-- b\nc -->d</pre>", ["a", "d"]),
    ],
)
def test_breaks_of_preformatted_text_are_lines(html: str, lines: list[str]) -> None:
    """Where line breaks are shown as they are set, they end lines; elsewhere they are spaces."""
    assert lines_of(html) == lines


def test_preformatted_text_reads_as_plain_text() -> None:
    """Blank lines, tabs and aligned columns are what they are in plain text; ``pre-line`` shows line breaks alone."""
    text = "Unit\tPaid  Through\n\nA1\t\t05/31/2026\n| a | b |\nc"
    assert read_html(f"<pre>{text}</pre>").lines == plain_lines(text)
    below = [line.cells for line in read_html(f"<div style='white-space:pre-line'>{text}</div>").lines]
    assert below == [("Unit Paid Through",), ("A1 05/31/2026",), ("| a | b |",), ("c",)]


def test_blank_text_between_blocks_is_no_line() -> None:
    """Indented blocks stay as near to each other as they are without the indent."""
    page = read_html("<div style='white-space:pre-wrap'>\n  <div>Unit:</div>\n  <div>A1</div>\n</div>")
    assert [(line.text, line.gap) for line in page.lines] == [("Unit:", False), ("A1", False)]


def test_layout_cells_do_not_lend_values() -> None:
    """Lines taken out of neighbouring cells are apart: no label there takes the line below."""
    page = read_html("<table><tr><td>Unit:<br>Tenant:</td><td>B204<br>Jane</td></tr></table>")
    assert [line.apart for line in page.lines] == [True] * 4


_HIDING = [
    "height:0;overflow:hidden",
    "max-height:0;overflow:hidden",
    "width:0;height:0;overflow:hidden",
    "color:transparent",
    "color:rgba(0,0,0,0)",
    "color: rgb(0 0 0 / 0%)",
    "color:#11223300",
    "clip-path:inset(100%)",
    "position:absolute;clip:rect(0,0,0,0)",
    "clip: rect(1px 1px 1px 1px); position: absolute",
    "transform:scale(0)",
    "font:0/0 a",
    "display/**/:none",
    "opacity:0.01",
    "opacity:.05",
    "text-decoration: line-through",
]


@pytest.mark.parametrize(
    "hidden",
    [
        '<div style="display:none">Unit: A000</div>',
        '<div style="color:red; DISPLAY : None">Unit: A000</div>',
        '<span style="visibility:hidden">Unit: A000</span>',
        '<span style="font-size:0">Unit: A000</span>',
        '<span style="font-size: 0px; line-height:0">Unit: A000</span>',
        '<span style="font-size:1px">Unit: A000</span>',
        '<span style="opacity:0">Unit: A000</span>',
        '<span style="opacity: 0.0">Unit: A000</span>',
        '<span style="max-height:0px">Unit: A000</span>',
        '<span style="mso-hide:all">Unit: A000</span>',
        '<span style="color:#fff;background-color:#FFFFFF">Unit: A000</span>',
        '<table><tr><td bgcolor="#ffffff" style="color:white">Unit: A000</td></tr></table>',
        *[f"<div style='{style}'>Unit: A000</div>" for style in _HIDING],
        "<dialog>Unit: A000</dialog>",
        "<datalist><option>Unit: A000</datalist>",
        "<p><s>Unit: A000</s> <strike>a</strike><del>b</del>",
        "<table><tr><td><s>Unit: A000</s></table>",
        "<p hidden>Unit: A000</p>",
        "<!-- Unit: A000 -->",
        "<script>Unit: A000</script>",
        "<style>Unit: A000</style>",
        "<title>Unit: A000</title>",
        "<template>Unit: A000</template>",
        "<blockquote type=cite>Unit: A000</blockquote>",
        '<div class="gmail_quote">Unit: A000</div>',
        '<div id="divRplyFwdMsg">From: x</div><div>Unit: A000</div>',
    ],
)
def test_what_a_reader_does_not_see_is_left_out(hidden: str) -> None:
    """Hidden text and quoted history are not read; what stands above is."""
    assert lines_of(f"<html><body><p>Unit: B204</p>{hidden}</body></html>") == ["Unit: B204"]


@pytest.mark.parametrize("root", ["hidden", "aria-hidden=true", "style='display:none'", "id=divRplyFwdMsg"])
def test_a_hidden_root_hides_all(root: str) -> None:
    """A mail whose root element is hidden has no readable text; one whose root is not has all of its own."""
    assert lines_of(f"<html {root}><body>Unit: B204<p hidden>x</p></body></html>") == []
    assert lines_of("<html lang=en><body>Unit: B204</body></html>") == ["Unit: B204"]


def test_long_styles_are_read_and_not_kept() -> None:
    """What a style says is remembered for short styles only; a long one hides all the same."""
    reader.is_hidden.cache_clear()
    pad = "x" * 2000
    assert lines_of(f"a<p style='--a:{pad};display:none'>b</p><p bgcolor={pad} style='color:red'>c</p>") == ["a", "c"]
    assert reader.is_hidden.cache_info().currsize == 0
    assert lines_of("a<p style='display:none'>b</p>") == ["a"]
    assert reader.is_hidden.cache_info().currsize == 1


@pytest.mark.parametrize("name", ["opacity", "font-size", "max-height", "max-width"])
def test_a_long_blank_in_a_style_is_looked_at_once(name: str) -> None:
    """White space within a style costs nothing, whether what follows hides or not."""
    begun = time.process_time()
    styles = [f"{name}:{' ' * 200_000}{value}" for value in ("0", "9x")]
    assert lines_of("".join(f"<p style='{style}'>{style[-1]}</p>" for style in styles)) == ["x"]
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    "style",
    [
        "font-size:10px",
        "opacity:0.9",
        "max-height:100px",
        "color:#fff;background:#000",
        "display:block",
        "font-size:1em",
        "height:0",
        "height:10px;overflow:hidden",
        "color:rgb(0,0,0)",
        "color:rgba(0,0,0,0.9)",
        "transform:scale(0.9)",
        "font:12px a",
        "font:1em a",
        "clip:rect(0,0,0,0)",
        "opacity:0.5",
        "text-decoration:none",
    ],
)
def test_what_a_reader_sees_is_kept(style: str) -> None:
    """Styles that only resemble hiding do not hide."""
    assert lines_of(f'<p style="{style}">Unit: B204</p>') == ["Unit: B204"]


@pytest.mark.parametrize(
    "sheet",
    [
        ".h{display:none !important}",
        "p.x, div.h { color:red; display : none }",
        "#i{visibility:hidden}",
        "section{display:none}",
        ".w .h{max-height:0;overflow:hidden}",
        ".w>.h{height:0;overflow:hidden}",
        "@media screen{.h{display:none}}",
        "@media all { .x{color:red} .h{display:none} }",
        "@media only screen and (min-width:600px){.h{display:none}}",
        "@media (unheard-of:1){.h{display:none}}",
        "<!-- .h{display:/* */none} -->",
        "@import 'x'; .h{display:none} :::{ } a:hover{display:none}",
        ".h{display:none} @media (max-width:600px){.h{display:block !important}}",
        ".h{display:none} .x .h{display:block}",
        ".w .h{display:none} .h{display:block}",
        ".h{display:none} @media (unheard-of:1){.h{display:block}}",
        ".h{color:transparent}",
        ".h{position:absolute;clip:rect(0 0 0 0)}",
    ],
)
def test_what_a_style_sheet_hides_is_left_out(sheet: str) -> None:
    """A rule that hides on a wide screen, or where that is not known, hides."""
    inner = '<section class="h" id=i>Unit: A000</section>'.replace("section", "div" if "div" in sheet else "section")
    html = f"<style>{sheet}</style><div class=w><p class=v>Unit: B204</p>{inner}</div>"
    assert lines_of(html) == ["Unit: B204"]


@pytest.mark.parametrize(
    "sheet",
    [
        "@media (max-width:600px){.h{display:none !important}}",
        "@media print{.h{display:none}}",
        "@media (prefers-color-scheme: dark){.h{display:none}}",
        ".h{display:none} .h{display:block}",
        ".h{display:none} .w .h{display:block}",
        ".h{display:none} @media (min-width:600px){.h{display:table !important}}",
        ".h:hover{display:none} .h::before{display:none}",
        ".h[{display:none} .h:{display:none}",
        ".x{display:none} .h .y{display:none}",
        ".w{font-size:0} .h{font-size:14px}",
        ".h{max-width:600px;text-decoration:none;opacity:1;height:auto;overflow:hidden}",
    ],
)
def test_what_a_style_sheet_shows_is_kept(sheet: str) -> None:
    """Rules for print, narrow and dark screens, states and other elements hide nothing, and stronger rules show."""
    assert lines_of(f"<style>{sheet}</style><div class=w><p class=h>Unit: B204</p></div>") == ["Unit: B204"]


def test_an_inline_style_shows_what_a_sheet_hides() -> None:
    """The element's own style is stronger than a rule that is not important, and weaker than one that is."""
    shown = "<p class=h style='display:block'>Unit: B204</p>"
    assert lines_of(f"<style>.h{{display:none}}</style>{shown}") == ["Unit: B204"]
    assert lines_of(f"<style>.h{{display:none !important}}</style>{shown}") == []
    assert lines_of(f"<style media=print>.h{{display:none}}</style>{shown.replace('block', '')}") == ["Unit: B204"]


@pytest.mark.parametrize(
    "history",
    [
        "> Unit: A000",
        "On Fri, May 1, 2026 at 9:30 AM SiteLink <a@example.com> wrote:\nUnit: A000",
        "-----Original Message-----\nUnit: A000",
        "---------- Forwarded message ---------\nUnit: A000",
        "From: SiteLink\nSent: Friday\nUnit: A000",
        "Von: SiteLink\nGesendet: Freitag\nUnit: A000",
        *[
            f"{head}\n\nUnit: A000"
            for head in (
                "Il giorno ven 1 mag 2026 alle ore 09:30 Ann <a@example.com> ha scritto:",
                "Il 01/05/26 09:30, Ann ha scritto:",
                "Op vr 1 mei 2026 om 09:30 schreef Ann <a@example.com>:",
                "Op 01-05-2026 om 09:30 schreef Ann:",
                "Op 1 mei 2026 om 09:30 heeft Ann <a@example.com> het volgende geschreven:",
                "Em sex., 1 de mai. de 2026 às 09:30, Ann <a@example.com> escreveu:",
                "No dia 1 de mai. de 2026, às 09:30, Ann escreveu:",
                "Ann <a@example.com> escreveu (sexta, 1/05/2026 à(s) 09:30):",
                "Il giorno ven 1 mag 2026 alle ore 09:30 Ann\n<a@example.com> ha scritto:",
                "Op vr 1 mei 2026 om 09:30 schreef Ann\n<a@example.com>:",
                "Em sex., 1 de mai. de 2026 às 09:30,\nAnn <a@example.com>\nescreveu:",
                "-----Messaggio originale-----",
                "-----Oorspronkelijk bericht-----",
                "-----Mensagem original-----",
                "Da: Ann <a@example.com>\nInviato: venerdì 1 maggio 2026 09:30\nA: b@example.com\nOggetto: x",
                "Van: Ann <a@example.com>\nVerzonden: vrijdag 1 mei 2026 09:30\nAan: b@example.com\nOnderwerp: x",
                "De: Ann <a@example.com>\nEnviada em: sexta-feira, 1 de maio de 2026 09:30\nAssunto: x",
            )
        ],
    ],
)
def test_quoted_history_is_left_out(history: str) -> None:
    """What a reply or a forward quotes below is not read."""
    assert [line.text for line in plain_lines(f"Unit: B204\n\n{history}\n")] == ["Unit: B204"]


def test_flowed_text_is_joined() -> None:
    """Soft breaks of format=flowed (RFC 3676) are no line ends."""
    assert [line.text for line in plain_lines("Unit: B204 \r\nupper floor\r\n", flowed=True)] == [
        "Unit: B204 upper floor"
    ]


def test_labels_match_whatever_their_dress() -> None:
    """Case, bullets and the colon of a label do not count; its words do."""
    assert label_key("• MOVE-IN Date:") == label_key("Move-In date") != label_key("Move-Out Date")


@pytest.mark.parametrize(
    "bomb",
    [
        "<div>" * (MAX_DEPTH * 5),
        "<div>" * 100_000,
        "<b>" * 100_000,
        "<p>" + "".join(f"<b id={n}>" for n in range(190)) + "<p>x" * 5000,
        "<td>" * (MAX_TAGS + 1),
        "<table><tr><td>" * 1000,
        "a" * (1024 * 1024 + 1),
        "<p " + " ".join(f"a{n}=1" for n in range(100_000)) + ">x",
        "</p " + " ".join(f"a{n}" for n in range(100_000)) + ">x",
        "<p " + "".join(f"""a{n}='<>'b{n}=">"/c{n}=x """ for n in range(5_000)) + ">x",
        "<p x='\"'" + " =a" * 10_000 + ">x",
        "".join(f"<body a{n}>" for n in range(15_000)),
        "<pre>" + "a\n" * 100_000,
        "<style>" + ".a{display:none}" * 1_000 + "</style>",
        "<style>.a{display:none} .b{display:block}" * 40 + "</style>" + "<p>x" * 15_000,
        "<style>" + "a " * 1_000 + "{display:none}</style>",
    ],
)
def test_html_bombs_are_refused_before_they_are_parsed(bomb: str) -> None:
    """Too many tags, too deep, too many left open, too many attributes, too long: unreadable."""
    with pytest.raises(Unreadable):
        read_html(bomb)


def test_ordinary_tables_are_within_bounds() -> None:
    """A digest of 300 rows is read whole."""
    row = "<tr><td><b>Unit</b></td><td><font color=red>B204</font></td><td>x</td><td>y</td></tr>"
    assert len(lines_of(f"<table>{row * 300}</table>")) == 300


def test_many_attributes_in_all_are_within_bounds() -> None:
    """The attributes of one tag are bounded, those of all its neighbours are not; what only looks like one is none."""
    attributes = " ".join(f"a{n}='x > <p {n}'" for n in range(MAX_ATTRIBUTES - 1))
    assert lines_of(f'<p {attributes} b="1">x = 1 {"&nbsp;= y " * 2_000}</p>' * 30)[0].startswith("x = 1 = y")
