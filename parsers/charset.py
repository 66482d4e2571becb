"""Charsets: bytes to text by the WHATWG label rule, so that no mail chooses a codec of ours.

A label outside the table never reaches a codec: such a text is read as UTF-8 when it is valid UTF-8, else as
windows-1252. Source: WHATWG Encoding Standard, section 4.2 (labels), abridged to what mail is seen to carry.
"""

import codecs
import re
from collections.abc import Iterable

_LABELS = {
    "utf-8": "utf-8 utf8 unicode-1-1-utf-8 us-ascii ascii ansi_x3.4-1968 646",
    "cp1252": "windows-1252 cp1252 x-cp1252 iso-8859-1 iso8859-1 iso_8859-1 latin1 latin-1 l1",
    "iso8859-2": "iso-8859-2 iso8859-2 latin2 l2",
    "iso8859-3": "iso-8859-3 latin3",
    "iso8859-4": "iso-8859-4 latin4",
    "iso8859-5": "iso-8859-5 cyrillic",
    "iso8859-6": "iso-8859-6 arabic",
    "iso8859-7": "iso-8859-7 greek",
    "iso8859-8": "iso-8859-8 iso-8859-8-i hebrew",
    "cp1254": "windows-1254 iso-8859-9 latin5",
    "iso8859-10": "iso-8859-10 latin6",
    "iso8859-13": "iso-8859-13",
    "iso8859-14": "iso-8859-14",
    "iso8859-15": "iso-8859-15 iso8859-15 latin9 latin-9 l9",
    "cp1250": "windows-1250",
    "cp1251": "windows-1251",
    "cp1253": "windows-1253",
    "cp1255": "windows-1255",
    "cp1256": "windows-1256",
    "cp1257": "windows-1257",
    "cp1258": "windows-1258",
    "cp874": "windows-874 tis-620 iso-8859-11",
    "koi8-r": "koi8-r koi8",
    "koi8-u": "koi8-u",
    "mac-roman": "macintosh mac x-mac-roman",
    "gb18030": "gb18030 gbk gb2312 x-gbk chinese",
    "big5hkscs": "big5 big5-hkscs",
    "euc_jp": "euc-jp x-euc-jp",
    "iso2022_jp": "iso-2022-jp",
    "cp932": "shift_jis shift-jis sjis windows-31j ms_kanji x-sjis",
    "cp949": "euc-kr ks_c_5601-1987 ksc5601 windows-949 korean",
    "utf-16-le": "utf-16 utf-16le unicode ucs-2 csunicode",
    "utf-16-be": "utf-16be",
}
_NEVER = frozenset(
    ("utf-7", "unicode-1-1-utf-7", "hz-gb-2312", "iso-2022-kr", "csiso2022kr", "iso-2022-cn", "iso-2022-cn-ext")
)
"""Labels whose octets look like plain ASCII and mean something else: such a text is one U+FFFD."""
_CODECS = {label: codec for codec, labels in _LABELS.items() for label in labels.split()}
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufffd]")
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def decode(octets: bytes, label: str = "") -> str:
    """Return the text of `octets`: byte order mark, then the label, then UTF-8, then windows-1252."""
    for mark, codec in _MARKS:
        if octets.startswith(mark):
            return octets[len(mark) :].decode(codec, "replace")
    label = label.strip(" \t\"'").lower()
    if label in _NEVER:
        return "\ufffd"
    codec = _CODECS.get(label, "utf-8")
    if codec == "cp1252":  # Seen in practice: UTF-8 labelled as latin-1 (fixtures/sitelink, mislabelled)
        codec = "utf-8"
        if octets.isascii():
            return octets.decode("ascii")
    try:
        return octets.decode(codec)
    except UnicodeDecodeError:
        return octets.decode("cp1252" if codec == "utf-8" else codec, "replace")


def codec_of(label: str) -> str | None:
    """Return the codec of a label; None for a label that is not in the table. ``utf-8-sig`` is UTF-8."""
    label = label.strip(" \t\"'").lower()
    return "utf-8" if label == "utf-8-sig" else _CODECS.get(label)


def decode_whole(octets: bytes, labels: Iterable[str]) -> str | None:
    """Return the text of `octets` by their byte order mark, else by the first label that fits all of them.

    None where none does, and for a text with what no text holds (NUL, controls, U+FFFD).
    """
    for mark, codec in _MARKS:
        if octets.startswith(mark):
            return _whole(octets[len(mark) :], codec)
    found = [codec for label in labels if (codec := codec_of(label)) is not None]
    fitting = next((codec for codec in dict.fromkeys(found) if _fits(octets, codec)), None)
    return _whole(octets, fitting) if fitting else None


def _fits(octets: bytes, codec: str) -> bool:
    try:
        octets.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _whole(octets: bytes, codec: str) -> str | None:
    try:
        text = octets.decode(codec)
    except UnicodeDecodeError:
        return None
    return None if _NO_TEXT.search(text) else text
