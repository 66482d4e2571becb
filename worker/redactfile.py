"""Redact attached files: CSV, XLSX, zip, JSON and plain texts keep their form; of any other file nothing is left."""

import csv
import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Final

from parsers.archive import Archive, is_zip
from parsers.blocks import words_of
from parsers.charset import decode, decode_whole
from parsers.delimited import DELIMITERS
from parsers.errors import NotRead
from parsers.rule import Rule, Type
from parsers.rulenodes import ENCODINGS
from parsers.text import Line, label_key
from parsers.workbook import is_workbook
from worker.disguise import Disguise
from worker.personal import Vocabulary, titles_people
from worker.redactbook import BookCell, BookValue, packed, read_book, shown, write_book

REMOVED: Final = b"The content of this file was removed.\r\n"
_JSON = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')
_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_CODECS: Final = ("utf-8", "utf-16-le", "utf-16-be", "cp1252", "iso-8859-15")
_TABLES: Final = (".csv", ".tsv")
_TEXTS: Final = (*_TABLES, ".txt", ".json")
_LONGEST_TITLE_WORDS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What the rule of a mail reads of attached files; nothing where no rule claims the mail."""

    encodings: tuple[str, ...] = ENCODINGS
    delimiters: tuple[str, ...] = DELIMITERS
    sheets: tuple[str, ...] = ()
    """Sheets that it names."""
    places: tuple[str, ...] = ()
    """The columns by their places, where it knows them so."""
    moments: frozenset[str] = frozenset()
    """The keys of the columns that it takes dates from."""
    others: frozenset[str] = frozenset()
    """The keys of the other columns that it reads: what stands there is a date by mistake only."""


@dataclass(slots=True, kw_only=True)
class FileWork:
    """What redacts the files of one mail, and what is told of it afterwards."""

    disguise: Disguise
    reads: Reads
    removed: list[str] = field(default_factory=list[str])
    """Files whose content was removed, by their new names."""
    unread: list[str] = field(default_factory=list[str])
    """Those of them that are of a kind that is read, with what keeps them from it."""
    left_out: list[str] = field(default_factory=list[str])
    """What spreadsheets held beside their cells, by the new names of the files."""
    moved: dict[str, str] = field(default_factory=dict[str, str])
    """What dates of spreadsheets became, as texts."""


def reads_of(rule: Rule | None) -> Reads:
    """Return what a rule reads of attached files."""
    blocks = [block for block in rule.tables if block.attachment] if rule else []
    files = [block.attachment for block in blocks if block.attachment]
    dates: set[str] = set()
    others: set[str] = set()
    for one in (one for block in blocks for one in block.fields):
        (dates if one.type in (Type.DATE, Type.DATETIME) else others).update(label_key(word) for word in words_of(one))
    return Reads(
        encodings=tuple(label for file in files for label in file.encodings) or ENCODINGS,
        delimiters=tuple(dict.fromkeys(sign for file in files for sign in file.delimiters)) or DELIMITERS,
        sheets=tuple(file.sheet for file in files if file.sheet),
        places=next((file.columns for file in files if file.columns), ()),
        moments=frozenset(dates),
        others=frozenset(others - dates),
    )


# -- what a file says -------------------------------------------------------------------------------------------------


def text_lines(text: str) -> Iterator[Line]:
    """Yield the lines of a text that hold something, without the signs of a quotation."""
    yield from (Line(line, (line,)) for one in text.splitlines() if (line := " ".join(one.lstrip("> ").split())))


def file_lines(
    name: str, kind: str, octets: bytes, label: str, reads: Reads, vocabulary: Vocabulary, *, is_made: bool = False
) -> Iterator[Line]:
    """Yield the texts of a file, those of the files in an archive too; of a table each cell, with its heading."""
    if _is_book(octets):
        try:
            book = read_book(octets, reads.sheets)
        except NotRead:
            return
        for sheet in book.sheets:
            yield Line(sheet.title, (sheet.title,))
            yield from _cell_lines([(cell.column, shown(cell.value)) for cell in sheet.cells], vocabulary)
    elif _is_archive(name, octets):
        try:
            archive = Archive(octets)
            for place, inner in enumerate(archive.names):
                yield Line(inner, (inner,))
                yield from file_lines(inner, "", archive.read(place), "", reads, vocabulary, is_made=is_made)
        except NotRead:
            return
    elif _is_textual(name, kind):
        text = _text_of(name, kind, octets, label, reads)
        rows = _csv_rows(text, _delimiter(text, reads)) if _is_table(name, kind) else []
        yield from _cell_lines([cell for row in rows for cell in enumerate(row)], vocabulary)
        if _is_json(name, kind):
            yield from _json_lines(text, with_names=is_made)
        elif not rows:
            yield from text_lines(text)


def _cell_lines(cells: Sequence[tuple[int, str]], vocabulary: Vocabulary) -> Iterator[Line]:
    """Yield cells as lines: each with the heading above it where that tells of people."""
    titles: dict[int, str] = {}
    for column, text in cells:
        if not (line := " ".join(text.split())):
            continue
        if len(line.split()) <= _LONGEST_TITLE_WORDS and titles_people(line) and vocabulary.covers(line):
            titles[column] = line
            yield Line(line, (line,))
        else:
            yield Line(line, (titles[column], line) if column in titles else (line,))


def _json_lines(text: str, *, with_names: bool) -> Iterator[Line]:
    """Yield the values of JSON, each with the name before it; names by themselves, where they are asked for."""
    name = ""
    for found in _JSON.finditer(text):
        if found[2] is not None:
            name = _json_text(found[1])
            if with_names:
                yield Line(name, (name,))
            continue
        value = found[0] if found[1] is None else _json_text(found[1])
        for line in value.splitlines():
            yield Line(line, (name, line) if name else (line,))


# -- the file anew ----------------------------------------------------------------------------------------------------


def redact_file(name: str, kind: str, octets: bytes, label: str, work: FileWork) -> bytes | None:
    """Return a file redacted, or without its content; None where its text cannot be written again.

    ``name``: of the file, empty without one. ``kind``: the media type of its part. ``label``: the charset of it.
    """
    try:
        if _is_book(octets):
            return _redact_book(name, octets, work)
        if _is_archive(name, octets):
            return _redact_archive(octets, work)
    except NotRead as error:
        work.unread.append(f"the attached file {work.disguise.text(name or kind)} cannot be read: {error}")
        return _remove(name or kind, work)
    if not _is_textual(name, kind):
        return _remove(name or kind, work)
    text = _text_of(name, kind, octets, label, work.reads)
    codec = codec_of(octets, text, label)
    if codec is None:
        return None
    if _is_table(name, kind):
        made = _redact_table(text, _delimiter(text, work.reads), work.disguise)
    elif _is_json(name, kind):
        made = _JSON.sub(lambda found: _json_token(found, work.disguise), text)
    else:
        made = work.disguise.text(text)
    mark, encoding = codec
    return mark + made.encode(encoding)


def _is_textual(name: str, kind: str) -> bool:
    """Return whether a part is a text, by its media type or the name of its file."""
    return re.fullmatch(
        r"text/.*|application/(?:json|ld\+json|csv)|message/delivery-status", kind
    ) is not None or name.lower().endswith(_TEXTS)


def codec_of(octets: bytes, text: str, label: str) -> tuple[bytes, str] | None:
    """Return the byte order mark and the codec by which a text became octets; None when it cannot become them again."""
    mark, marked = next(((mark, codec) for mark, codec in _MARKS if octets.startswith(mark)), (b"", ""))
    for codec in (marked,) if marked else (label, *_CODECS):
        try:
            if codec and octets[len(mark) :].decode(codec) == text and mark + text.encode(codec) == octets:
                return mark, codec
        except (LookupError, UnicodeError):
            continue
    return None


def _remove(told: str, work: FileWork) -> bytes:
    work.removed.append(work.disguise.text(told))
    return REMOVED


def _is_book(octets: bytes) -> bool:
    try:
        return is_workbook(octets)
    except NotRead:
        return False


def _is_archive(name: str, octets: bytes) -> bool:
    return name.lower().endswith(".zip") and is_zip(octets)


def _is_table(name: str, kind: str) -> bool:
    return kind.endswith("csv") or name.lower().endswith(_TABLES)


def _is_json(name: str, kind: str) -> bool:
    return kind.endswith("json") or name.lower().endswith(".json")


def _text_of(name: str, kind: str, octets: bytes, label: str, reads: Reads) -> str:
    """Return the text of a file; that of a table as the rule reads it, whatever the mail declares."""
    whole = decode_whole(octets, reads.encodings) if _is_table(name, kind) else None
    return decode(octets, label) if whole is None else whole


def _redact_archive(octets: bytes, work: FileWork) -> bytes:
    archive = Archive(octets)
    members: list[tuple[str, bytes]] = []
    for place, name in enumerate(archive.names):
        made = redact_file(name, "", archive.read(place), "", work)
        members.append((work.disguise.text(name), _remove(name, work) if made is None else made))
    return packed(members)


# -- tables and JSON --------------------------------------------------------------------------------------------------


def _csv_rows(text: str, delimiter: str) -> list[list[str]]:
    """Return the rows of a CSV file; none where it is broken."""
    try:
        return list(csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        return []


def _delimiter(text: str, reads: Reads) -> str:
    """Return what parts the cells of a CSV file: what gives the most rows of one and the same length."""

    def rows_alike(delimiter: str) -> int:
        widths = Counter(len(row) for row in _csv_rows(text, delimiter))
        return max((count for width, count in widths.items() if width > 1), default=0)

    return max(reads.delimiters, key=rows_alike)


def _redact_table(text: str, delimiter: str, disguise: Disguise) -> str:
    """Return a CSV file with every cell redacted by itself; quotes, delimiters and ends of lines stay."""
    cell = re.compile(rf'"[^"]*"|[^{re.escape(delimiter)}\r\n"]+')
    return cell.sub(lambda found: disguise.text(found[0]), text)


def _json_token(found: re.Match[str], disguise: Disguise) -> str:
    """Return a value of JSON redacted; what names a value stays."""
    written, colon = found[1], found[2]
    if written is None:
        return disguise.text(found[0])
    if colon is not None:
        return found[0]
    text = _json_text(written)
    made = disguise.text(text)
    return written if made == text else json.dumps(made, ensure_ascii=written.isascii())


def _json_text(written: str) -> str:
    """Return what a string of JSON says; of a broken one what stands there."""
    try:
        return str(json.loads(written, strict=False))
    except ValueError:
        return written[1:-1]


# -- spreadsheets -----------------------------------------------------------------------------------------------------


def _redact_book(name: str, octets: bytes, work: FileWork) -> bytes:
    book = read_book(octets, work.reads.sheets)
    if book.beside:
        work.left_out.append(f"{work.disguise.text(name)}: {', '.join(book.beside)}")
    columns = _Columns(work.reads)
    return write_book(
        book,
        lambda title: title if title in work.reads.sheets else work.disguise.text(title),
        lambda cell, sheet: _value(cell, work, is_other=columns.is_other(cell, sheet)),
    )


class _Columns:
    """Which columns of a spreadsheet a rule reads something else than dates from; told cell by cell."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._others: dict[tuple[int, int], bool] = {}

    def is_other(self, cell: BookCell, sheet: int) -> bool:
        """Return whether a cell stands in such a column: below such a heading, or at such a place."""
        place = (sheet, cell.column)
        key = label_key(cell.value) if isinstance(cell.value, str) else ""
        if key in self._reads.others or key in self._reads.moments:
            self._others[place] = key in self._reads.others
        if place in self._others or cell.column > len(self._reads.places):
            return self._others.get(place, False)
        return label_key(self._reads.places[cell.column - 1]) in self._reads.others


def _value(cell: BookCell, work: FileWork, *, is_other: bool) -> BookValue:
    """Return what a cell becomes: of the same type."""
    value, disguise = cell.value, work.disguise
    if isinstance(value, str):
        return value if cell.kind in "ef" else disguise.text(value)
    if isinstance(value, dt.datetime):
        return _noted(value, disguise.mangled(value) if is_other else disguise.moved(value), work)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    text = shown(value)
    if disguise.is_serial(text):
        return _noted(value, value + disguise.shift.days, work)
    made = disguise.text(text)
    return value if made == text else float(made) if "." in made else int(made)


def _noted(before: BookValue, after: BookValue, work: FileWork) -> BookValue:
    work.moved[shown(before)] = shown(after)
    return after
