"""Disguise texts: values, names, numbers and links become invented ones of the same shape, the same everywhere.

Pure. What a value becomes follows from the seed and the value alone, so one mail is disguised alike in subject, text,
HTML and attached files, and two mails with one seed agree.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterable

from parsers.convert import DateFormat
from worker.shifting import shift_date

_URL = r"(?:https?://|www\.)[^\s<>\"'\])]+"
_EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
_MONTH = (
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|jän|mär|mai|okt|dez|janv|févr|avr|juin|juil|août|ene|abr|ago|dic|"
    r"gen|mag|giu|lug|set|ott|fev|out|mrt|mei)[^\W\d_]{0,7}\.?"
)
_DATE = (
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|\d{1,2}[/.-]\d{1,2}[/.-](?:\d{4}|\d\d)"
    rf"|(?:\d{{1,2}}(?:st|nd|rd|th|\.|er)?,?\s+(?:of\s+|de\s+)?){_MONTH},?\s+(?:de\s+)?\d{{4}}"
    rf"|{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+\d{{4}}"
)
_TIME = r"\d{1,2}:\d\d(?::\d\d)?(?:\s[+-](?:0\d|1[0-4])(?:00|15|30|45))?"
_SIZE = r"\d{1,3}\s?['′]?\s?[x×]\s?\d{1,3}"
_PHONE = r"\+?\(?\d{2,4}\)?[ .-]\(?\d{2,4}\)?[ .-]\d{3,4}(?:[ .-]?\d{2,4})?"
_NUMBER = r"(?=[\w./'#-]*\d)[^\W_](?:(?:[\w./'#-]|,(?=\d{2,3}(?!\d)))*[^\W_])?"
_TOKEN = re.compile(
    rf"(?P<url>{_URL})|(?P<email>{_EMAIL})|(?<![\w/.-])(?:(?P<date>{_DATE})(?![\w/-])|(?P<time>{_TIME})(?!\w)"
    rf"|(?P<size>{_SIZE})(?!\w)|(?P<phone>{_PHONE})(?!\w))|(?P<number>(?<!\w){_NUMBER})|(?P<word>[^\W\d_]+)",
    re.IGNORECASE,
)
_GROUPS = re.compile("([#-]+)")
"""What parts a number of which a rule may read one group: the unit of `Unit#140`, or of an account `0042-7716-140`."""
_MIN_DIGITS = 3
"""Digits from which on a number that no rule read may tell of somebody; a shorter one is a count or a size."""
_SYLLABLES = re.findall(
    "..", "babebodadedidofafekakekikolalelilomamemimonaneninopaperarerirosasesotatetitovavevivowawezazezo"
)
_TRIES = 1000
ROLES = re.compile(
    r"(?:no|do.?not).?reply|not(?:ice|ification)s?|alerts?|info|mail(?:er)?|reports?|billing|support|office|service|system",
    re.IGNORECASE,
)
"""What stands before the @ of an address that is nobody's."""


class Disguise:
    """What texts become; grows as values and names are made known."""

    def __init__(self, seed: str, *, shift_days: int = 0, dates: Iterable[DateFormat] = (), domain: str = "") -> None:
        """``shift_days``: how far dates in one of the formats ``dates`` move. ``domain``: its links keep their host."""
        self._seed = seed
        self.shift = dt.timedelta(days=shift_days)
        self._dates = tuple(dates)
        self._domain = domain
        self._numbers: set[str] = set()
        self._names: set[str] = set()
        self._serials: set[str] = set()
        self._originals: set[str] = set()
        self._made: dict[tuple[str, str], str] = {}
        self._taken: set[tuple[str, str]] = set()

    @property
    def names(self) -> frozenset[str]:
        """Return the words that are taken for names, with case folded."""
        return frozenset(self._names)

    def add_value(self, text: str) -> None:
        """Make a value known whose numbers are replaced however short they are, and whatever else they look like."""
        for found in _TOKEN.finditer(text):
            if found.lastgroup == "number" or (found.lastgroup in ("date", "time", "size") and found[0] == text):
                self._numbers.add(found[0])

    def content_id(self, text: str) -> str:
        """Return what the Content-ID of a part becomes, wherever a page names it."""
        return f"{self._hash('content', text)[:20]}@redacted.example.com"

    def add_serial(self, text: str) -> None:
        """Make a number of a spreadsheet known that is a date."""
        self._serials.add(text)

    def is_serial(self, text: str) -> bool:
        """Return whether a number of a spreadsheet is a date."""
        return text in self._serials

    def moved(self, moment: dt.datetime) -> dt.datetime:
        """Return what a date of a spreadsheet becomes; one at the end of all years stays."""
        try:
            return moment + self.shift
        except OverflowError:
            return moment

    def mangled(self, moment: dt.datetime) -> dt.datetime:
        """Return what becomes of something else that a spreadsheet took for a date: another day of that year."""

        def make(chance: str) -> str:
            month, day = (moment.month + int(chance[:4], 16) % 11) % 12 + 1, 1 + int(chance[4:8], 16) % 28
            return moment.replace(month=month, day=day).isoformat()

        return dt.datetime.fromisoformat(self._once("mangled", moment.isoformat(), make))

    def add_names(self, words: Iterable[str]) -> None:
        """Make words known that are replaced wherever they stand."""
        self._names |= {word.casefold() for word in words}

    def avoid(self, texts: Iterable[str]) -> None:
        """Make texts known of which nothing may be what something else becomes."""
        self._originals |= {found[0].casefold() for text in texts for found in _TOKEN.finditer(text)}

    def replaced(self, text: str) -> list[str]:
        """Return the tokens of a text that are replaced; dates, which may be kept and moved, are not among them."""
        return [
            found[0]
            for found in _TOKEN.finditer(text)
            if (found.lastgroup != "date" or found[0] in self._numbers)
            and found[0] not in self._serials
            and self._token(found) != found[0]
        ]

    def tokens_of(self, text: str) -> list[str]:
        """Return the numbers and words of a text, which never hold a blank."""
        return [found[0] for found in _TOKEN.finditer(text) if found.lastgroup in ("number", "word")]

    def made_of(self, text: str) -> list[str]:
        """Return what the numbers and words of a text become, of those that are replaced."""
        found = (one for one in _TOKEN.finditer(text) if one.lastgroup in ("number", "word"))
        return [made for one in found if (made := self._token(one)) != one[0]]

    def text(self, text: str) -> str:
        """Return a text with all that is known or looks personal replaced."""
        return _TOKEN.sub(self._token, text)

    def _token(self, found: re.Match[str]) -> str:
        token = found[0]
        if token in self._numbers:
            return self._digits(token)
        match found.lastgroup:
            case "url":
                return self._url(token)
            case "email":
                return self._email(token)
            case "date":
                return self._date(token)
            case "number" | "phone" if token not in self._numbers and self._numbers & set(_GROUPS.split(token)):
                return "".join(self._digits(group) for group in _GROUPS.split(token))
            case "phone":
                return self._phone(token)
            case "number" if sum(map(str.isdigit, token)) >= _MIN_DIGITS:
                return self._digits(token)
            case "word" if token.casefold() in self._names:
                return self._name(token)
            case _:
                return token

    def _url(self, url: str) -> str:
        scheme, _, rest = url.rpartition("//")
        host = re.split(r"[/?#]", rest)[0].rpartition("@")[2]
        is_theirs = host == self._domain or host.endswith(f".{self._domain}")
        path = "" if rest in (host, f"{host}/") else f"/{self._hash('url', url)[:12]}"
        return f"{scheme}//{host if is_theirs and self._domain else 'www.example.com'}{path}".removeprefix("//")

    def _email(self, address: str) -> str:
        local, _, domain = address.rpartition("@")
        if domain.lower() != self._domain and not domain.lower().endswith(f".{self._domain}"):
            domain = "example.com"
        elif ROLES.fullmatch(local):
            return address  # it sends notices, and who sends them decides who may speak
        return f"{self._name(local.lower())}@{domain}"

    def _date(self, token: str) -> str:
        if not self.shift:
            return token
        found = {moved for form in self._dates if (moved := shift_date(token, form, self.shift)) is not None}
        return found.pop() if len(found) == 1 else token

    def _digits(self, token: str) -> str:
        """Return a token with other digits; leading zeros stay, and an amount of nothing stays nothing.

        A fraction that ends in another digit than zero goes on to: else it would be shorter as a number.
        """
        digits = "".join(sign for sign in token if sign.isdigit())
        lead = len(digits) - len(digits.lstrip("0"))
        if lead == len(digits):
            return token

        def make(chance: str) -> str:
            drawn = [str(int(pair, 16) % 10) for pair in re.findall("..", chance * (1 + len(digits) // 32))]
            drawn[lead] = str(1 + int(chance[:4], 16) % 9)
            if "." in token and digits[-1] != "0":
                drawn[len(digits) - 1] = str(1 + int(chance[4:8], 16) % 9)
            rest = iter("0" * lead + "".join(drawn[lead : len(digits)]))
            return "".join(next(rest) if sign.isdigit() else sign for sign in token)

        return self._once("number", token, make)

    def _phone(self, token: str) -> str:
        """Return a telephone number of the same shape; one of North America is one of those that nobody has."""
        made = self._digits(token)
        places = [place for place, sign in enumerate(made) if sign.isdigit()]
        if len(places) not in (10, 11):
            return made
        signs = list(made)
        for place, digit in zip(places[-7:-2], "55501", strict=True):
            signs[place] = digit
        return "".join(signs)

    def _name(self, word: str) -> str:
        def make(chance: str) -> str:
            drawn = [_SYLLABLES[int(pair, 16) % len(_SYLLABLES)] for pair in re.findall("..", chance)]
            return "".join(drawn)[: len(word)]  # as long as it was, since columns may be told by their place

        made = self._once("name", word.casefold(), make)
        if word.isupper() and len(word) > 1:
            return made.upper()
        return made.capitalize() if word[:1].isupper() else made

    def _once(self, kind: str, original: str, make: Callable[[str], str]) -> str:
        """Return what an original becomes: always the same, no other's, and not itself where there is room.

        It is none of the originals either, but where those take up all that there is, as short units do.
        """
        if (kind, original) not in self._made:
            chances = (self._hash(kind, f"{original}\0{turn}") for turn in range(_TRIES))
            free = (made for made in map(make, chances) if made.casefold() != original.casefold())
            free = (made for made in free if (kind, made) not in self._taken)
            second = original
            for made in free:
                if made.casefold() not in self._originals:
                    break
                second = made if second == original else second
            else:
                made = second
            self._taken.add((kind, made))
            self._made[kind, original] = made
        return self._made[kind, original]

    def _hash(self, kind: str, text: str) -> str:
        return hashlib.sha256(f"{self._seed}\0{kind}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()
