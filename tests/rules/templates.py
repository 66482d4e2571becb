"""The mails of each pack whose values stand in prose or beside labels, as templates."""

from hypothesis import strategies as st

from tests.rules.written import (
    AMERICAN,
    ISO,
    Template,
    ids,
    in_a_sentence,
    move_in,
    move_out,
    moved_in,
    moved_in_and_paid,
    moved_out,
    numbered,
    paid,
    stated,
    units,
    words,
)  # fmt: skip

TEMPLATES = (
    Template(
        rule="sitelink/move-in", sender="sitelink.com", subject="Move In Notification", styles=AMERICAN,
        labels={"Tenant": "{name}", "Tenant ID": "{tenant}", "Ledger ID": "{ledger}", "Unit": "{unit}",
                "Move-In Date": "{on}",
                "Paid Thru": "{through}"},
        tells=moved_in_and_paid,
    ),
    Template(
        rule="sitelink/move-out", sender="sitelink.com", subject="Move Out Notification", styles=AMERICAN,
        labels={"Unit": "{unit}", "Tenant": "{name}", "Tenant ID": "{tenant}",
                "Move-Out Date": "{on}"}, tells=lambda values: [move_out(values, ledger="")],
    ),
    Template(
        rule="sitelink/overlock", sender="sitelink.com", subject="Overlock: Unit {unit}", styles=AMERICAN,
        labels={"Unit": "{unit}", "Tenant ID": "{tenant}", "By": "facility"},
        tells=stated({"pms_lockout": True}),
    ),
    Template(
        rule="sitelink/overlock-reversed", sender="sitelink.com", subject="Reverse: Overlock: Unit {unit}",
        styles=AMERICAN,
        labels={"Unit": "{unit}", "Tenant ID": "{tenant}"},
        tells=stated({"pms_lockout": False}),
    ),
    Template(
        rule="sitelink/gate-lockout", sender="sitelink.com", subject="Gate Lockout: Unit {unit}", styles=AMERICAN,
        labels={"Unit": "{unit}", "Tenant ID": "{tenant}", "By": "facility"}, tells=stated({"pms_lockout": True}),
    ),
    Template(
        rule="sitelink/gate-lockout-cleared", sender="sitelink.com", subject="Gate Lockout Cleared: Unit {unit}",
        styles=AMERICAN, labels={"Unit": "{unit}", "Tenant ID": "{tenant}", "By": "facility"},
        tells=stated({"pms_lockout": False}),
    ),
    Template(
        rule="sitelink/payment-receipt", sender="sitelink.com", subject="Payment Receipt", styles=AMERICAN, tells=paid,
        labels={"Unit": "{unit}", "Tenant": "{name}", "Amount Paid": "$129.00", "Payment Date": "{on}",
                "Paid Thru": "{through}", "Balance": "{amount}"},
    ),
    Template(
        rule="sitelink/nsf-reversal", sender="sitelink.com", subject="NSF Payment Reversal", styles=AMERICAN,
        labels={"Unit": "{unit}", "Tenant ID": "{tenant}", "New Balance": "{amount}",
                "Paid Thru": "{through}"}, tells=paid,
    ),
    Template(
        rule="sitelink/transfer", sender="sitelink.com", subject="Transfer Notification", styles=AMERICAN,
        labels={"From Unit": "{other}", "To Unit": "{unit}", "Tenant ID": "{tenant}", "Ledger ID": "{ledger}",
                "Transfer Date": "{on}"},
        tells=lambda values: [move_in(values), move_out(values, unit="other", ledger="")],
    ),
    Template(
        rule="easystorage/new-rental", sender="storageunitsoftware.com", subject="New Rental - Unit {unit}",
        styles=AMERICAN,
        labels={"Unit": "{unit}", "Customer": "{name}", "Customer ID": "{tenant}", "Rental ID": "{ledger}",
                "Status": "Active",
                "Move In Date": "{on}"},
        tells=moved_in,
    ),
    Template(
        rule="easystorage/payment-receipt", sender="storageunitsoftware.com", subject="Payment Receipt - {name}",
        styles=AMERICAN, tells=paid,
        labels={"Unit(s)": "{unit}", "Customer": "{name}", "Amount Paid": "$129.00", "Payment Date": "{on}",
                "Paid Through": "{through}", "Account Balance": "{amount}"},
    ),
    Template(
        rule="storitz/move-in", sender="storitz.com", subject="Storitz - Confirmation for {name}", styles=("%m/%d/%y",),
        labels={"Storitz ID#": "{tenant}", "Transaction #": "{ledger}",
                "Property Name": "Demo Self Storage", "Unit #": "{unit}",
                "Move-in Date": "{on}", "Rent is Paid Through": "{through}", "Payment Received": "$99.00",
                "Tenant Name": "{name}"},
        tells=moved_in_and_paid,
    ),
    Template(
        rule="sixstorage/move-in", sender="6storage.com", subject="New Move-In: {unit}", styles=AMERICAN,
        labels={"Unit Number": "{unit}", "Customer": "{name}", "Customer ID": "{tenant}", "Lease ID": "{ledger}",
                "Move-In Date": "{on}"},
        tells=moved_in,
    ),
    Template(
        rule="sixstorage/move-in-copy", sender="6storage.com", subject="Your move-in is complete", styles=AMERICAN,
        prose="Hi {name}, your unit {unit} is ready from {on}.\nLease {ledger}, customer {tenant}.",
        tells=moved_in, made={"tenant": in_a_sentence(ids)},
    ),
    Template(
        rule="sixstorage/move-out", sender="6storage.com", subject="Move-Out Completed: {unit}", styles=AMERICAN,
        labels={"Unit Number": "{unit}", "Customer": "{name}", "Customer ID": "{tenant}", "Move-Out Date": "{on}"},
        tells=lambda values: [move_out(values, ledger="")],
    ),
    Template(
        rule="sixstorage/access-granted", sender="6storage.com", subject="Access Granted: {unit}", styles=AMERICAN,
        labels={"Unit Number": "{unit}", "Customer": "{name}"},
        tells=stated({"pms_lockout": False}),
    ),
    Template(
        rule="doorswap/lease-creation", sender="domico.com", subject="Lease Creation", styles=ISO,
        labels={"Unit": "{unit}", "Customer": "{name}", "Customer No.": "{tenant}", "Lease No.": "{ledger}",
                "Start Date": "{on}"},
        tells=moved_in,
    ),
    Template(
        rule="doorswap/lease-closed", sender="domico.com", subject="Lease Closed", styles=ISO,
        labels={"Unit": "{unit}", "Customer No.": "{tenant}", "Lease No.": "{ledger}",
                "End Date": "{on}"}, tells=moved_out,
    ),
    Template(
        rule="storagetreasures/auction-scheduled", sender="storagetreasures.com",
        subject="Auction Scheduled - Unit {unit}",
        labels={"Unit": "{unit}", "Auction ID": "{ledger}", "Reason": "Past due"}, styles=AMERICAN,
        tells=stated({"pms_auction": True}),
    ),
    Template(
        rule="storagetreasures/auction-cancelled", sender="storagetreasures.com",
        subject="Auction Cancelled - Unit {unit}", styles=AMERICAN,
        labels={"Unit": "{unit}", "Auction ID": "{ledger}", "Reason": "Paid"},
        tells=stated({"pms_auction": False}),
    ),
    *(
        Template(
            rule=rule, sender="janusintl.com", subject=f"Unit {{unit}}: {status}", styles=ISO,
            labels={"Unit": "{unit}", "Status": status, "Time": "2026-05-01 09:12"},
            tells=stated({**fact, "pms_status_raw": status}),
        )
        for rule, status, fact in (
            ("noke/locked", "Overlocked", {"pms_lockout": True}),
            ("noke/unlocked", "Rented", {"pms_lockout": False}),
            ("noke/auction", "Pending Auction", {"pms_auction": True}),
        )
    ),
    *(
        Template(
            rule="storedge/move-in", layout=layout, sender="storedge.com", subject="Welcome to unit {unit}",
            prose=prose, tells=lambda values: [move_in(values, ledger="tenant")],
            made={"unit": in_a_sentence(units), "tenant": in_a_sentence(ids)},
            styles=("%m/%d/%Y", "%B %d, %Y", "%o of %B, %Y", "%b %d, %Y %I:%M %p"),
        )
        for layout, prose in (
            ("wrapped", "Hi {name},\nWe are glad that you have rented\nunit {unit}\non {on}, account {tenant}."),
            ("numbered", "Thank you, you have rented unit {unit} on {on}, account number {tenant}. Welcome!"),
        )
    ),
    Template(
        rule="appfolio/payment", sender="appfolio.com", subject="Harbor Properties LLC - Online Payment Confirmation",
        labels={"Unit": "{unit}", "Amount": "$250.00", "Date": "{on}", "Confirmation": "{ledger}",
                "New Balance": "{amount}"},
        styles=AMERICAN, tells=lambda values: [("patch", values["unit"], {"balance_due": values["amount"]})],
    ),
    Template(
        rule="storeganise/move-in", sender="storeganise.com", subject="Unit occupied: {unit}", styles=ISO,
        labels={"Unit": "{unit}", "User": "{name}", "User ID": "{tenant}", "Rental ID": "{ledger}", "Start": "{on}",
                "Rent": "1.234,50 EUR"},
        tells=moved_in,
    ),
    Template(
        rule="storeganise/move-in", layout="in German", sender="storeganise.com", subject="Einheit belegt: {unit}",
        labels={"Einheit": "{unit}", "Kunde": "{name}", "Kunden-ID": "{tenant}", "Miet-ID": "{ledger}",
                "Beginn": "{on}", "Miete": "1.234,50 EUR"},
        styles=("%d.%m.%Y",), tells=moved_in,
    ),
    Template(
        rule="storeganise/move-out", sender="storeganise.com", subject="Move-out completed: {unit}", styles=ISO,
        labels={"Unit": "{unit}", "User": "{name}", "User ID": "{tenant}", "Rental ID": "{ledger}",
                "Start": "{through}", "End": "{on}"},
        tells=moved_out,
    ),
    Template(
        rule="storeganise/move-out", layout="in German", sender="storeganise.com",
        subject="Auszug abgeschlossen: {unit}",
        labels={"Einheit": "{unit}", "Kunde": "{name}", "Kunden-ID": "{tenant}", "Miet-ID": "{ledger}",
                "Beginn": "{through}", "Ende": "{on}"},
        styles=("%d.%m.%Y",), tells=moved_out,
    ),
    Template(
        rule="stora/booking", sender="stora.co", subject="New booking {ledger}", tells=moved_in,
        labels={"Booking": "{ledger}", "Customer": "{name}", "Customer ID": "{tenant}", "Unit type": "50 sq ft",
                "Unit": "{unit}", "Move-in date": "{on}"},
        styles=("%d/%m/%Y", "%o %B %Y"), made={"unit": numbered(words(11, "-.#")), "ledger": numbered(ids)},
    ),
    Template(
        rule="stora/unit-ready", sender="stora.co", subject="Your unit is ready", tells=moved_in,
        labels={"Unit": "{unit}", "Customer ID": "{tenant}", "Booking": "{ledger}", "Move-in date": "{on}"},
        styles=("%d/%m/%Y", "%o %B %Y"), made={"unit": numbered(words(11, "-.#"))},
    ),
    *(
        Template(
            rule="portals/payment", layout=layout, sender=sender, subject=subject, prose=prose, made={"unit": made},
            labels={**labels, "Amount": "$1,250.00", "Payment Date": "{on}", "Confirmation Number": "{ledger}",
                    "Paid through": "{through}"},
            styles=("%m/%d/%Y", "%B %d, %Y", "%b %d, %Y"),
            tells=lambda values: [("patch", values["unit"], {"paid_through_date": values["through"].isoformat()})],
        )
        for layout, sender, subject, prose, labels, made in (
            ("by label", "entrata.com", "Payment Confirmation", "", {"Unit": "{unit}"}, words(12, "-./")),
            ("by building", "rentcafe.com", "Rent Payment Receipt", "", {"Unit": "{unit}"},
             st.from_regex(r"[1-9] - [1-9][0-9]{2}-[A-Z]{2}", fullmatch=True)),
            ("by sign", "clickpay.com", "ClickPay Payment Confirmation",
             "Your payment for Harbor Lofts, Unit#{unit}, was received.", {}, words(12, "-")),
            ("by address", "welcomehome.com", "Your payment has been received", "",
             {"Address": "12 Harbor Street #{unit}, Springfield, IL 62701"}, words(12, "-")),
            ("by street", "biltrewards.com", "Rent Payment Receipt", "12 Harbor Street, #{unit}\nSpringfield, IL 62701",
             {}, words(12, "-")),
            ("by account", "paymentus.com", "Payment Confirmation - Harbor Lofts", "",
             {"Account Number": "0042-7716-{unit}"}, st.from_regex(r"[0-9A-WYZ]{1,6}", fullmatch=True)),
        )
    ),
    Template(
        rule="resharmonics/checked-in", sender="rerumapp.uk", subject="Guest checked in - {ledger}", styles=ISO,
        labels={"Booking reference": "{ledger}", "Guest": "{name}", "Contact ID": "{tenant}", "Unit": "{unit}",
                "Check-in": "{on}", "Check-out": "{through}", "Status": "CHECKED_IN"},
        tells=moved_in,
    ),
    Template(
        rule="resharmonics/checked-out", sender="rerumapp.uk", subject="Guest checked out - {ledger}", styles=ISO,
        labels={"Booking reference": "{ledger}", "Guest": "{name}", "Contact ID": "{tenant}", "Unit": "{unit}",
                "Check-in": "{through}", "Check-out": "{on}", "Status": "CHECKED_OUT"},
        tells=moved_out,
    ),
)  # fmt: skip
