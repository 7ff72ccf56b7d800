"""Who a customer is, from its one row."""

DAYS_A_YEAR = 365.25


def tenure(rows):
    return rows[0]["age_days"] / DAYS_A_YEAR
