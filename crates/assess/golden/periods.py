"""Ends of periods, by nothing but Python's calendar: the table `periods.tsv`.

Each row: start, count, unit, end, latest. `end` is how this program counts: from the very instant.
`latest` is how Regulation (EEC, Euratom) 1182/71, Art. 3, counts without public holidays (which
only make it later): the hour or day of the event is left out, a period in days or months ends with
the last hour of its last day, an end on a Saturday or Sunday moves to the next working day, and two
days or more hold at least two working days. Run: python3 periods.py > periods.tsv
"""

import calendar
import random
from datetime import datetime, timedelta

FORM = "%Y-%m-%dT%H:%M:%SZ"


def add_months(start, count):
    month = start.month - 1 + count
    year, month = start.year + month // 12, month % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return start.replace(year=year, month=month, day=day)


def ours(start, count, unit):
    if unit == "months":
        return add_months(start, count)
    return start + timedelta(**{unit: count})


def working(day):
    return day.weekday() < 5


def regulation(start, count, unit):
    if unit == "hours":
        begin = start.replace(minute=0, second=0) + timedelta(hours=1)
        return begin + timedelta(hours=count)
    first = start.replace(hour=0, minute=0, second=0) + timedelta(days=1)
    if unit == "days":
        last = first + timedelta(days=count - 1)
    else:
        last = add_months(start.replace(hour=0, minute=0, second=0), count)
    while not working(last):
        last += timedelta(days=1)
    if unit == "days" and count >= 2:
        while sum(working(first + timedelta(days=d)) for d in range((last - first).days + 1)) < 2:
            last += timedelta(days=1)
    return last + timedelta(days=1)


def main():
    random.seed(1182)
    starts = [
        "2026-11-22T15:00:00Z", "2027-01-31T10:00:00Z", "2028-01-31T10:00:00Z",
        "2028-02-29T23:59:59Z", "2026-12-31T23:59:59Z", "2027-03-28T01:30:00Z",
        "2026-10-25T01:30:00Z", "2026-12-24T12:00:00Z", "2100-02-28T00:00:00Z",
        "2027-08-31T00:00:00Z",
    ]
    for _ in range(40):
        moment = datetime(2026, 8, 2) + timedelta(seconds=random.randrange(4 * 365 * 86400))
        starts.append(moment.strftime(FORM))
    print("# made by periods.py")
    for text in starts:
        start = datetime.strptime(text, FORM)
        for count, unit in [(24, "hours"), (72, "hours"), (2, "days"), (10, "days"),
                            (14, "days"), (15, "days"), (1, "months")]:
            end, latest = ours(start, count, unit), regulation(start, count, unit)
            print(text, count, unit, end.strftime(FORM), latest.strftime(FORM), sep="\t")


main()
