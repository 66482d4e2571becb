"""Forwards: what rules see is the mail inside, and what cannot be told for certain is held."""

import datetime as dt
import time
from pathlib import Path

import pytest

from parsers import Mail, Mailbox, Outcome, Reading, Unreadable, load_rules, parse_mail, read_mail
from parsers.dress import dress
from parsers.explain import render
from parsers.forward import MAX_FORWARDS

ROOT = Path(__file__).resolve().parents[2]
RULES = load_rules([ROOT / "rules"])
SITE = Mailbox(address="sitelink@demo.test", company="demo", location="SITELINK")
MOVE_IN = (ROOT / "fixtures" / "sitelink" / "01-move-in-text.eml").read_bytes()

SENDER = "From: SiteLink <noreply@sitelink.com>"
DATE = "Date: Fri, May 1, 2026 at 9:30 AM"
HEAD = f"{SENDER}\n{DATE}\nSubject: Move In Notification\nTo: <manager@operator.example.com>"
NOTICE = "Unit: B204\nTenant ID: T-5001\nLedger ID: L-9911\nMove-In Date: 05/01/2026"
OTHER = "Unit: Z999\nTenant ID: T-0000\nMove-In Date: 04/01/2026"
GMAIL = "---------- Forwarded message ---------"


def mail_of(
    text: str, *, subject: str = "Fwd: Move In Notification", sender: str = "manager@operator.example.com", kind="plain"
) -> bytes:
    """Return a mail of the manager at 10:30."""
    return (
        f"From: {sender}\nTo: sitelink@demo.test\nSubject: {subject}\nDate: Fri, 01 May 2026 10:30:00 -0500\n"
        f"Message-ID: <1@operator.example.com>\nContent-Type: text/{kind}; charset=utf-8\n\n{text}\n"
    ).encode()


def read(text: str, **how: str) -> Mail:
    return read_mail(mail_of(text, **how))


def parsed(text: str, **how: str) -> Reading:
    return parse_mail(mail_of(text, **how), RULES, mailbox=SITE, packs=("sitelink",))


def quoted(text: str) -> str:
    return "".join(f"> {line}".rstrip() + "\n" for line in text.split("\n"))


def nested(times: int) -> str:
    heads = f"{GMAIL}\nFrom: a@example.com\nSubject: Fwd: Move In Notification\n\n" * (times - 1)
    return f"{heads}{GMAIL}\n{HEAD}\n\n{NOTICE}"


def test_rules_see_the_mail_inside() -> None:
    """From, Date and Subject are the inner ones; the mail around is kept in the chain, with who and when."""
    mail = read(f"{OTHER}\n\n{GMAIL}\n{HEAD}\n\n\n{NOTICE}")
    assert (mail.from_address, mail.subject) == ("noreply@sitelink.com", "Move In Notification")
    assert (mail.date, mail.local_date) == (None, dt.datetime.fromisoformat("2026-05-01T09:30"))
    assert mail.text == NOTICE
    assert mail.headers["subject"] == ("Move In Notification",)
    (around,) = mail.chain
    assert (around.from_address, around.subject, around.how) == (
        "manager@operator.example.com",
        "Fwd: Move In Notification",
        "text",
    )
    assert around.date == dt.datetime(2026, 5, 1, 15, 30, tzinfo=dt.UTC)


def test_the_chain_is_explained() -> None:
    """The trace tells every forward from the outermost in, and `explain` prints it."""
    raw = dress(MOVE_IN, "forward-of-forward")
    reading = parse_mail(raw, RULES, mailbox=SITE)
    chain = reading.trace["chain"]
    assert [one["subject"] for one in chain] == ["Fwd: FW: Move In Notification", "FW: Move In Notification"]
    assert [one["how"] for one in chain] == ["text", "text"]
    assert "forward  by manager@operator.example.com, 2026-05-01T11:30:00-05:00, text: Fwd: FW:" in render(reading)
    assert "chain" not in parse_mail(MOVE_IN, RULES, mailbox=SITE).trace


@pytest.mark.parametrize(
    "text",
    [
        f"On Fri, May 1, 2026 at 9:30 AM SiteLink <noreply@sitelink.com> wrote:\n\n{quoted(NOTICE)}",
        f"On Fri, May 1, 2026 at 9:30 AM\nSiteLink <noreply@sitelink.com>\nwrote:\n\n{quoted(NOTICE)}",
        f"Am 01.05.26 um 09:30 schrieb SiteLink:\n{quoted(NOTICE)}",
        f"Il giorno ven 1 mag 2026 alle ore 09:30 SiteLink <a@sitelink.com> ha scritto:\n\n{NOTICE}",
        f"Op vr 1 mei 2026 om 09:30 schreef SiteLink <a@sitelink.com>:\n\n{NOTICE}",
        f"Em sex., 1 de mai. de 2026 às 09:30, SiteLink <a@sitelink.com> escreveu:\n\n{NOTICE}",
        f"Van: SiteLink\nVerzonden: vrijdag 1 mei 2026 09:30\nAan: a@example.com\nOnderwerp: x\n\n{NOTICE}",
        f"________________________________\n{HEAD}\n\n{NOTICE}",
        f"{HEAD}\n\n{NOTICE}",
        f"-----Original Message-----\n{HEAD}\n\n{NOTICE}",
        f"{GMAIL}\n{HEAD}\n\n{NOTICE}",
        quoted(NOTICE),
    ],
)
@pytest.mark.parametrize("subject", ["Re: Move In Notification", "AW: Move In Notification", "Move In Notification"])
def test_a_reply_is_no_event(text: str, subject: str) -> None:
    """An event quoted below an answer is not read, whoever answers, even a sender of the pack."""
    for sender in ("manager@operator.example.com", "noreply@sitelink.com"):
        mail = read(f"Thank you!\n\n{text}", subject=subject, sender=sender)
        assert (mail.text.rstrip("_\n"), mail.chain, mail.from_address) == ("Thank you!", (), sender)
        reading = parsed(f"Thank you!\n\n{text}", subject=subject, sender=sender)
        assert reading.events == ()
        assert reading.outcome is not Outcome.IGNORED


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"On Fri, May 1, 2026 at 9:30 AM SiteLink <a@sitelink.com> wrote:\n\n{quoted(NOTICE)}", "that of a reply"),
        (f"Il giorno ven 1 mag 2026 alle ore 09:30 Ann <a@x.example> ha scritto:\n\n{NOTICE}", "that of a reply"),
        (f"Da: Ann\nInviato: venerdì 1 maggio 2026 09:30\nA: b@x.example\nOggetto: x\n\n{NOTICE}", "that of a reply"),
        (f"{GMAIL}\nSubject: Move In Notification\n\n{NOTICE}", "header of the mail that it forwards cannot be read"),
        (f"{GMAIL}\n{NOTICE}", "header of the mail that it forwards cannot be read"),
        (f"Begin forwarded message:\n\n{NOTICE}", "header of the mail that it forwards cannot be read"),
        (quoted(f"{GMAIL}\n{HEAD}\n\nUnit: B204") + "No, wait.\n" + quoted("Tenant ID: T-5001"), "quoted in pieces"),
        (nested(MAX_FORWARDS + 1), f"more than {MAX_FORWARDS} times"),
        (nested(50), f"more than {MAX_FORWARDS} times"),
    ],
)
def test_an_ambiguous_forward_is_held(text: str, why: str) -> None:
    """Where it cannot be known what was forwarded, the mail is held with that reason, though its pack may speak."""
    reading = parsed(text)
    assert (reading.outcome, reading.events) == (Outcome.INCOMPLETE, ())
    assert why in (reading.reason or "")


@pytest.mark.parametrize("kind", ["plain", "html"])
@pytest.mark.parametrize(
    ("more", "is_read"),
    [
        ("Subject: Move Out Notification", False),
        ("Sent: Wednesday, January 2, 2019 3:04 AM", False),
        ("From: Someone <someone@example.com>", False),
        ("Cc: office@example.com", True),
    ],
)
def test_a_header_that_says_two_things_is_held(kind: str, more: str, is_read: bool) -> None:
    """Which of two dates, senders or subjects is that of the mail inside, nobody knows, before the other or behind."""
    for head in (f"{SENDER}\n{more}\n{DATE}\nSubject: Move In Notification", f"{HEAD}\n{more}"):
        text = f"{GMAIL}\n{head}\n\n{NOTICE}"
        if kind == "html":
            text = text.replace("<", "&lt;").replace("\n", "<br>")
        reading = parsed(text, kind=kind)
        assert (reading.outcome is Outcome.EVENTS) == is_read
        assert is_read or "header of the mail that it forwards cannot be read" in (reading.reason or "")


def test_as_many_forwards_as_are_read() -> None:
    """The most forwards that are read give the event, with a chain of that length."""
    reading = parsed(nested(MAX_FORWARDS))
    assert [event.unit for event in reading.events] == ["B204"]
    assert len(reading.trace["chain"]) == MAX_FORWARDS


def test_a_table_set_in_spaces_is_the_same_behind_quote_marks() -> None:
    """The columns of a plain table that Apple Mail quotes stand where they stood."""
    table = "Unit    Customer    Balance\nA1      Ann         10.00"
    plain = read(table, subject="Report")
    mail = read(quoted(f"Begin forwarded message:\n\n{HEAD}\n\n{table}"))
    assert len(mail.chain) == 1
    assert [line.raw for line in mail.lines] == [line.raw for line in plain.lines] == table.split("\n")


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("Fri, May 1, 2026 at 11:30 AM", "dated later than the mail that forwards it"),
        ("Sun, Nov 2, 2025 at 1:30 AM", "in the hour in which the clock is changed"),
    ],
)
def test_a_date_that_cannot_be_is_held(written: str, why: str) -> None:
    """A forward whose inner date lies after its own, or in a doubled hour, is held: nobody knows when it happened."""
    reading = parsed(f"{GMAIL}\n{HEAD.replace(DATE, f'Date: {written}')}\n\n{NOTICE}")
    assert (reading.outcome, reading.events) == (Outcome.INCOMPLETE, ())
    assert why in (reading.reason or "")


@pytest.mark.parametrize(
    "written", ["", "Date: yesterday\n", "Date: 5/1/26, 9:30 AM\n", "Date: Mon, May 1, 2026 9:30\n"]
)
def test_a_date_that_cannot_be_read_is_none(written: str) -> None:
    """Without a date that is certain there is no moment, and so no event; the date around is never taken."""
    head = HEAD.replace(f"{DATE}\n", written)
    reading = parsed(f"{GMAIL}\n{head}\n\n{NOTICE}")
    assert (reading.outcome, reading.events) == (Outcome.INCOMPLETE, ())


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("SiteLink <noreply@sitelink.com>", "noreply@sitelink.com"),
        ("noreply@SiteLink.com", "noreply@sitelink.com"),
        ("SiteLink [mailto:noreply@sitelink.com]", "noreply@sitelink.com"),
        ("noreply@sitelink.com <mailto:noreply@sitelink.com>", "noreply@sitelink.com"),
        ("SiteLink", None),
        ("noreply@sitelink.com <x@evil.example>", None),
        ("x@evil.example on behalf of noreply@sitelink.com", None),
        ("noreply@sitelink.com, x@evil.example", None),
        ('"noreply@sitelink.com"@', None),
        ("x" * 400 + " <noreply@sitelink.com>", None),
    ],
)
def test_one_inner_sender_or_none(sender: str, expected: str | None) -> None:
    """The inner From counts when it names one address, and nothing that could be a second."""
    assert read(f"{GMAIL}\n{HEAD.replace(SENDER, f'From: {sender}')}\n\n{NOTICE}").from_address == expected


def test_a_doubtful_sender_around_takes_the_inner_one_away() -> None:
    """Who forwards must be one plain mailbox, or nobody is the sender."""
    for name in ("gmail-forward", "rfc822"):
        raw = dress(MOVE_IN, name).replace(b"From: Site Manager <", b"From: a@sitelink.com, <", 1)
        assert read_mail(raw).chain
        assert read_mail(raw).from_address is None


def test_repeated_headers_count_in_every_mail_of_the_chain() -> None:
    """A header that may stand once and stands twice is told of the mail around, and of the one attached."""
    around = dress(MOVE_IN, "rfc822").replace(b"Subject: Fwd", b"Subject: Other\r\nSubject: Fwd", 1)
    assert read_mail(around).singleton_duplicates == ("subject",)
    inside = dress(MOVE_IN.replace(b"Date: Fri", b"Date: Sat\r\nDate: Fri", 1), "rfc822")
    assert read_mail(inside).singleton_duplicates == ("date",)


def test_structured_data_beside_history_is_held() -> None:
    """JSON-LD in a mail that quotes an older one in plain lines may be of either: held."""
    block = '{"@type":"PmsEvent","event":"patch","unit":"B204","pms_lockout":true}'
    script = f'<script type="application/ld+json">{block}</script>'
    old = f"<p>From: A &lt;a@example.com&gt;<br>Sent: Friday<br>Subject: Old</p>{script}"
    for subject, doubtful in (("Notice", old), ("Fwd: Notice", f"<p>{GMAIL}<br>{SENDER}<br>{DATE}</p>{old}")):
        held = parse_mail(
            mail_of(f"<p>Hello</p>{doubtful}", kind="html", subject=subject), RULES, mailbox=SITE, packs=("pmsevent",)
        )
        assert (held.outcome, held.events) == (Outcome.INCOMPLETE, ())
        assert "older mail" in (held.reason or "")
    told = parse_mail(
        mail_of(f"<p>Hello</p>{script}", kind="html", subject="Notice"), RULES, mailbox=SITE, packs=("pmsevent",)
    )
    assert [event.unit for event in told.events] == ["B204"]


def test_two_attached_mails_are_held() -> None:
    """Of two mails that are attached to a forward, neither is guessed."""
    raw = dress(MOVE_IN, "rfc822")
    start = raw.index(b"--=_dressed_attached\r\nContent-Type: message/rfc822")
    end = raw.index(b"--=_dressed_attached--")
    reading = parse_mail(raw[:end] + raw[start:], RULES, mailbox=SITE, packs=("sitelink",))
    assert (reading.outcome, reading.events) == (Outcome.INCOMPLETE, ())
    assert "more than one mail" in (reading.reason or "")


def test_a_bounce_forwards_nothing() -> None:
    """The mail that a bounce returns is not read."""
    raw = dress(MOVE_IN, "rfc822").replace(b"multipart/mixed", b"multipart/report", 1)
    assert read_mail(raw).chain == ()


@pytest.mark.parametrize(
    ("make", "small"),
    [
        (lambda n: "".join(f"{'>' * (k % 300)} Unit: A{k}\n" for k in range(n)), 400),
        (lambda n: f"{GMAIL}\nFrom: a@example.com\nSubject: Fwd: x\n\n" * n, 400),
        (lambda n: "From: a@example.com\n" * n, 1_000),
        (lambda n: "From: a@example.com\nDate: x\n" * n, 1_000),
        (lambda n: "On Monday 9:30 a@b\nwrote:\n" * n, 1_000),
        (lambda n: f"Am 1 {'schrieb ' * n}:\n", 4_000),
        (lambda n: f"-{'-' * 10 * n} Forwarded message", 2_000),
        (lambda n: f"{GMAIL}\n{SENDER}\nTo: {'a@example.com, ' * n}\n\n{NOTICE}", 2_000),
    ],
)
def test_hostile_forwards_cost_linear_time(make, small: int) -> None:
    """Four times the size costs at most about four times the work: quote levels, headers, attributions, long lines."""

    def cost(n: int) -> float:
        raw = mail_of(make(n))
        spent: list[float] = []
        for _ in range(5):
            begun = time.process_time()
            read_mail(raw)
            spent.append(time.process_time() - begun)
        return min(spent)

    assert cost(4 * small) < 10 * cost(small) + 0.01


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (">" * 10_000 + " Unit: B204\n" + quoted(NOTICE), "plain"),
        ("\n".join(">" * (k // 4 % 2000) + " x" for k in range(200)), "plain"),
        ("<blockquote type=cite>" * 10_000 + "Unit: B204", "html"),
        ('<div class="gmail_quote">' * 400 + f"{GMAIL}<br>{SENDER}" + "</div>" * 400, "html"),
    ],
)
def test_deep_quotes_end(text: str, kind: str) -> None:
    """However deep quotes nest, they are read or refused within a second, and are never an event."""
    begun = time.process_time()
    try:
        events = parsed(text, kind=kind).events
    except Unreadable:
        events = ()
    assert events == ()
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("line", ["Begin forwarded message:", "Anfang der weitergeleiteten Nachricht:", GMAIL])
def test_a_quoted_mail_below_a_line_that_is_not_quoted_is_forwarded(line: str) -> None:
    """The note above is not read; what is torn, or no header behind the marks, is held."""
    inside = quoted(f"{HEAD}\n\n{NOTICE}")
    mail = read(f"{OTHER}\n\n{line}\n\n{inside}\n{OTHER}")
    assert (mail.from_address, mail.subject, mail.text) == ("noreply@sitelink.com", "Move In Notification", NOTICE)
    assert len(mail.chain) == 1
    torn = parsed(f"{line}\n\n{inside}\nx\n{quoted(OTHER)}")
    assert (torn.outcome, torn.events) == (Outcome.INCOMPLETE, ())
    assert parsed(f"{line}\n\n{quoted(NOTICE)}").events == ()
    answer = parsed(f"Thanks\n\n{line}\n\n{inside}", subject="Re: Move In Notification")
    assert answer.events == ()


@pytest.mark.parametrize("blank", ["\t", "   ", " \t ", "\t\t"])
def test_blanks_behind_the_words_of_a_header_do_not_count(blank: str) -> None:
    """Thunderbird sets a tab there, other programs align their headers by spaces."""
    head = HEAD.replace(": ", f":{blank}")
    for text in (f"{OTHER}\n\n-------- Forwarded Message --------\n{head}\n\n{NOTICE}", f"{head}\n\n{NOTICE}"):
        mail = read(text)
        assert (mail.from_address, mail.subject, mail.text) == ("noreply@sitelink.com", "Move In Notification", NOTICE)
        assert mail.local_date == dt.datetime.fromisoformat("2026-05-01T09:30")


def test_a_header_in_a_table_is_a_header() -> None:
    """Its rows are lines of it, in whatever order, and what stands below the table is the mail."""
    rows = "".join(
        f"<tr><th align=right>{word}: </th><td>{value}</td></tr>"
        for word, _, value in (line.replace("<", "&lt;").partition(": ") for line in reversed(HEAD.split("\n")))
    )
    table = f"<table class=moz-email-headers-table><tbody>{rows}</tbody></table>"
    body = "".join(f"<div>{line}</div>" for line in NOTICE.split("\n"))
    inside = f"<br>-------- Forwarded Message --------{table}<br><br>{body}"
    page = f"<p>Unit: Z999</p><div class=moz-forward-container>{inside}</div>"
    mail = read(page, kind="html")
    assert (mail.from_address, mail.subject, mail.text) == ("noreply@sitelink.com", "Move In Notification", NOTICE)
    assert read(page, kind="html", subject="Re: Move In Notification").text == "Unit: Z999"
