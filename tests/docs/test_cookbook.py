"""The cookbook: each symptom is made by real mails, and each command on the page prints what the page says."""

import datetime as dt
from collections.abc import Callable
from email import policy
from email.message import EmailMessage
from pathlib import Path

from parsers.dress import dress
from tests.docs.pages import DOCS
from tests.docs.walk import Walk, parts
from tests.rigs.gatepost import FIXTURES, ROOT, Gatepost
from worker.configuration import load_settings
from worker.runtime import Runtime
from worker.silence import Silence

PAGE = DOCS / "cookbook.md"
MAIN, MAPPED, ELM = "main-st@in.example.com", "oak-ave@in.example.com", "elm-st@in.example.com"
CONFIG = f"""
[rules]
paths = ["{ROOT}/rules", "own"]

[guards]
flips_least = 4
probation = 0

[mailbox_defaults]
company = "acme"

[[mailbox]]
address = "{MAIN}"
location = "MAIN-ST"
pms = ["sitelink", "easystorage", "storedge", "harbor"]
trust = [{{network = "127.0.0.0/8"}}]

[[mailbox]]
address = "{MAPPED}"
location = "OAK-AVE"
unit_map = "units.csv"
pms = ["sitelink", "pmsevent"]
trust = [{{network = "127.0.0.0/8"}}]

[[mailbox]]
address = "{ELM}"
location = "ELM-ST"
pms = ["sitelink"]
trust = [{{network = "127.0.0.0/8", forwarder = "operator.example.com"}}]
silent_after = "3d"
"""
HARBOR = """pack: harbor
senders: [sitelink.com]
dates: ["%m/%d/%Y"]
rules:
  - id: move-out
    when: {subject: ^Move Out Notification, body: [Harbor]}
    fields: {unit: {label: Unit}, on: {label: Move-Out Date, type: date}}
    events: [{move_out: {unit: unit, on: on}}]
  - id: plan
    when: {subject: ^Payment Plan}
    fields: {unit: {label: Unit}}
    events: [{patch: {unit: unit, pms_lockout: true}}]
  - id: rent-roll
    when: {subject: ^Rent Roll}
    each:
      - table: {heading: Rent Roll}
        fields:
          unit: {column: Unit}
          status: {column: Status}
        events:
          - snapshot: {unit: unit, occupied: {from: status, true: [Rented], false: [Vacant]}}
"""


def notice(subject: str, day: str = "Fri, 01 May 2026 10:00:00 -0500", text: str = "", **lines: str) -> bytes:
    """Return a mail as SiteLink sends it; of ``lines`` a name has `_` for a space."""
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"] = "SiteLink Notifications <noreply@sitelink.com>"
    mail["To"] = MAIN
    mail["Subject"] = subject
    mail["Date"] = day
    mail.set_content(text or "".join(f"{name.replace('_', ' ')}: {value}\n" for name, value in lines.items()))
    return mail.as_bytes()


def move_in(unit: str, tenant: str, **lines: str) -> bytes:
    """Return a move-in of 1 May."""
    told_by = {"Tenant_ID": tenant, "Unit": unit, "Move-In_Date": "05/01/2026", **lines}
    return notice("Move In Notification", **told_by)


def fixture(name: str) -> bytes:
    """Return the mail of a fixture."""
    return (FIXTURES / f"{name}.eml").read_bytes()


def report(heads: str, hour: int) -> bytes:
    """Return a report with four lines above the heads of its columns."""
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"] = "reports@storedge.com"
    mail["To"] = MAIN
    mail["Subject"] = "Gate Access"
    mail["Date"] = f"Fri, 01 May 2026 {hour}:00:00 -0500"
    mail.set_content("The report is attached.\n")
    rows = f"Main Street Storage,\r\nGate Access,\r\nPrinted 05/04/2026,\r\n,\r\n{heads}\r\nA12,Yes\r\n"
    mail.add_attachment(rows.encode(), maintype="text", subtype="csv", filename="gate.csv")
    return mail.as_bytes()


# -- the symptoms, by the headings of the page ------------------------------------------------------------------------


def unmatched(walk: Walk) -> None:
    walk.send(notice("Autopay Enrolled", Unit="B204", Tenant_ID="T-5001"), MAIN)


def cancelled(walk: Walk) -> None:
    walk.send(move_in("B211", "T-5011").replace(b"Notification\r\n", b"Notification - Cancelled\r\n"), MAIN)


def renamed(walk: Walk) -> None:
    walk.send(fixture("demo/09-renamed-label"), MAIN)


def merge_field(walk: Walk) -> None:
    walk.send(move_in("B210", "[[TenantID]]"), MAIN)


def ambiguous(walk: Walk) -> None:
    lines = {"Harbor": "Main Street", "Unit": "B204", "Tenant_ID": "T-5001", "Move-Out_Date": "05/09/2026"}
    walk.send(notice("Move Out Notification", **lines), MAIN)


def contradiction(walk: Walk) -> None:
    walk.send(fixture("pmsevent/14-contradicts-text"), MAPPED)


def untrusted(walk: Walk) -> None:
    walk.send(fixture("demo/10-forged-sender"), MAIN)


def forward(walk: Walk) -> None:
    company = dress(move_in("F1", "T-1"), "gmail-forward")
    walk.send(company, ELM, "pat@operator.example.com")
    assert "events by sitelink/move-in" in walk.run("gatepost explain MAIL")
    for name, why in (
        ("08-no-address", "From is not one plain address: nobody can be proven"),
        ("12-no-date", "incomplete"),
    ):
        walk.send(fixture(f"forwards/{name}"), ELM, "pat@operator.example.com")
        assert why in walk.run("gatepost mail show MAIL")
    walk.send(company.replace(b"operator.example.com", b"gmail.example"), ELM, "pat@gmail.example")


def unknown_unit(walk: Walk) -> None:
    walk.send(move_in("A9", "T-1"), MAPPED)


def row_of_a9(walk: Walk) -> None:
    with (walk.gatepost.folder / "units.csv").open("a") as rows:
        rows.write("A9,109,,\n")


def mismatch(walk: Walk) -> None:
    walk.send(move_in("C1", "T-1"), MAIN)
    walk.send(notice("Overlock: Unit C1", "Sat, 02 May 2026 10:00:00 -0500", Unit="C1", Tenant_ID="T-2"), MAIN)


def lost_shape(walk: Walk) -> None:
    walk.send(fixture("easystorage/29-lockout-report-cut"), MAIN)
    assert "no heading `Lockouts Removed`" in walk.run("gatepost mail show MAIL")
    walk.send(fixture("easystorage/30-lockout-report-wrapped"), MAIN)


def far_header(walk: Walk) -> None:
    walk.send(report("Unit,Locked out", 10), MAIN)
    assert "state parsed" in walk.run("gatepost mail show MAIL")
    walk.send(report("Unit,Gate", 11), MAIN)


def drift(walk: Walk) -> None:
    paid = {"Unit": "B206", "Amount_Paid": "$5.00", "Payment_Date": "05/01/2026"}
    walk.send(notice("Payment Receipt", Paid_Thru="05/31/2026", **paid), MAIN)
    walk.send(notice("Payment Receipt", Paid_Until="06/30/2026", **paid), MAIN)
    walk.await_issue("drift", "sitelink/payment-receipt")


def silent(walk: Walk) -> None:
    runtime = Runtime(load_settings(walk.gatepost.config))
    now = dt.datetime.now(dt.UTC)
    looks = iter([now, now + dt.timedelta(days=4), now + dt.timedelta(days=8)])
    try:
        watch = Silence(runtime.db, mailboxes=lambda: runtime.settings.mailboxes, clock=lambda: next(looks))
        for _ in range(3):
            watch.look()
    finally:
        runtime.close()
    walk.await_issue("mailbox_silent", ELM)
    (walk.gatepost.folder / "test.eml").write_bytes(move_in("F2", "T-2"))


def flips(walk: Walk) -> None:
    units = [f"D{number}" for number in range(1, 6)]
    for unit in units:
        walk.send(move_in(unit, f"T-9{unit}"), MAIN)
    rows = "".join(f"{unit}    Vacant\n" for unit in units)
    walk.send(notice("Rent Roll", "Mon, 04 May 2026 10:00:00 -0500", f"Rent Roll\n\nUnit  Status\n{rows}"), MAIN)
    walk.await_issue("flips", "harbor/rent-roll")


def day_first(walk: Walk) -> None:
    (walk.gatepost.folder / "sixth.eml").write_bytes(move_in("E1", "T-31", **{"Move-In_Date": "05/06/2026"}))
    walk.send(move_in("E1", "T-31", **{"Move-In_Date": "13/05/2026"}), MAIN)


def credit(walk: Walk) -> None:
    stated = {"Unit": "B206", "Tenant_ID": "T-5003", "New_Balance": "(25.00)", "Paid_Thru": "05/31/2026"}
    walk.send(notice("NSF Payment Reversal", **stated), MAIN)


def wrong_events(walk: Walk) -> None:
    walk.send(notice("Payment Plan", "Tue, 05 May 2026 10:00:00 -0500", Unit="D1"), MAIN)
    mended = HARBOR.replace("events: [{patch: {unit: unit, pms_lockout: true}}]", "ignore: A plan locks nothing.")
    mended = mended.replace("    fields: {unit: {label: Unit}}\n", "")
    (walk.gatepost.folder / "own" / "harbor.yaml").write_text(mended, "utf-8")


def opened(walk: Walk) -> None:
    walk.send(notice("Overlock: Unit C1", "Sat, 02 May 2026 11:00:00 -0500", Unit="C1", Tenant_ID="T-1"), MAIN)
    walk.send(notice("Reverse: Overlock: Unit C1", "Sun, 03 May 2026 10:00:00 -0500", Unit="C1"), MAIN)


def nothing(_walk: Walk) -> None:
    """What the page says needs no mail of its own."""


SYMPTOMS: dict[str, tuple[Callable[[Walk], None], ...]] = {
    "A mail is held `unmatched`": (unmatched,),
    "A mail is held `unmatched`: its subject says `cancelled`": (cancelled,),
    "A mail is held `incomplete`: the label changed": (renamed,),
    "A mail is held `incomplete`: a merge field": (merge_field,),
    "A mail is held `ambiguous`: two packs claim one mail": (ambiguous,),
    "A mail is held `contradiction`": (contradiction,),
    "A mail is held `untrusted`": (untrusted,),
    "A forward of the manager is not read": (forward,),
    "An event is held `unknown_unit`": (unknown_unit, nothing, row_of_a9),
    "An event is held `tenant_mismatch`": (mismatch,),
    "A digest is held because a row lost its shape": (lost_shape,),
    "An attached report is not read: its header stands far down": (far_header,),
    "My own wording of a shipped pack": (nothing,),
    "A vendor changed the wording: an issue `drift`": (drift,),
    "Mails stopped: an issue `mailbox_silent`": (silent,),
    "A report would flip too many units: `flips`": (flips,),
    "A date is read day-first, or month-first": (day_first,),
    "An amount in brackets, or with CR": (credit,),
    "Wrong events were applied": (wrong_events,),
    "The gate opened, and should not have: who, and why": (opened,),
}
"""What happens before each block of commands of a part; blocks beyond these have nothing before them."""


def test_every_command_prints_what_the_page_says(tmp_path: Path) -> None:
    """The page is walked from top to bottom beside a running Gatepost: each part makes its symptom and mends it."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "harbor.yaml").write_text(HARBOR, "utf-8")
    (tmp_path / "units.csv").write_text("unit,crm_unit_id,from,until\nA1,101,,\nA2,102,,\n", "utf-8")
    sections = parts(PAGE)
    assert list(sections) == list(SYMPTOMS)
    wrong: list[str] = []
    with Gatepost(tmp_path, CONFIG) as gatepost:
        walk = Walk(gatepost)
        for heading, section in sections.items():
            wrong += [f"{heading}: {fault}" for fault in walk.go(section, SYMPTOMS[heading])]
    assert not wrong, "\n\n".join(wrong)


def test_every_part_says_what_not_to_do() -> None:
    """A part is whole: commands, and what not to do."""
    for heading, section in parts(PAGE).items():
        assert "```console\n" in section, heading
        assert "**What not to do.**" in section, heading
