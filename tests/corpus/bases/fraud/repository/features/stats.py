"""What a customer did, from the rows of its payments."""

NIGHT_ENDS = 6


def at_night(row):
    return row["hour"] < NIGHT_ENDS


def spend(rows):
    total = 0.0
    for row in rows:
        total += row["amount"]
    return total


def payments(rows):
    return len({row["payment_id"] for row in rows})


def night_share(rows):
    # The share of payments before the morning.
    nightly = [row for row in rows if at_night(row)]
    return len(nightly) / len(rows)
