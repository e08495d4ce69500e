"""What the handbook's authors published: names and definitions of the twelve window features."""

from __future__ import annotations

DAYS, DELAY = (1, 7, 30), 7
DAY = 86_400
AMOUNT = "TX_AMOUNT"


def names(days: int) -> tuple[str, str, str, str]:
    """Give the published names of a window's features."""
    return (
        f"CUSTOMER_ID_NB_TX_{days}DAY_WINDOW",
        f"CUSTOMER_ID_AVG_AMOUNT_{days}DAY_WINDOW",
        f"TERMINAL_ID_NB_TX_{days}DAY_WINDOW",
        f"TERMINAL_ID_RISK_{days}DAY_WINDOW",
    )


def duckdb_sql(table: str, *, calendar: bool = False) -> str:
    """Give the features as window functions; a second less opens the left end, as times are whole seconds."""
    defined = []
    for days in DAYS:
        count, mean, visits, risk = names(days)
        customer, terminal = f"c{days}", f"t{days}"
        defined += [
            f"count(*) OVER {customer} AS {count}",
            f"avg({AMOUNT}) OVER {customer} AS {mean}",
            f"count(*) OVER {terminal} AS {visits}",
            f"coalesce(avg(TX_FRAUD) OVER {terminal}, 0) AS {risk}",
        ]
    if calendar:
        defined += [
            "CAST(isodow(TX_DATETIME) >= 6 AS BIGINT) AS TX_DURING_WEEKEND",
            "CAST(hour(TX_DATETIME) <= 6 AS BIGINT) AS TX_DURING_NIGHT",
        ]
    order = "ORDER BY TX_DATETIME RANGE BETWEEN INTERVAL"
    frames = [
        f"c{days} AS (PARTITION BY CUSTOMER_ID {order} {days * DAY - 1} SECOND PRECEDING "
        f"AND CURRENT ROW), "
        f"t{days} AS (PARTITION BY TERMINAL_ID {order} {(days + DELAY) * DAY - 1} SECOND PRECEDING "
        f"AND INTERVAL {DELAY} DAY PRECEDING)"
        for days in DAYS
    ]
    return f"SELECT TRANSACTION_ID, {', '.join(defined)} FROM {table} WINDOW {', '.join(frames)}"  # noqa: S608
