"""Numbers, money, sizes and times as a person reads them. Pure; the zone is an argument (None: the machine's own).

Zero is shown as 0, what is absent as a dash, what has no price as "Unpriced", never as $0.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Final

from app.core.records import Exchange
from app.gui.words import plural, tr

ABSENT: Final = "–"
_SECOND_US: Final = 1_000_000
_MINUTE_US: Final = 60 * _SECOND_US
_HOUR_US: Final = 60 * _MINUTE_US
_DAY_US: Final = 24 * _HOUR_US


def count(value: int | None) -> str:
    return ABSENT if value is None else f"{value:,}"


def compact(value: int | None) -> str:
    """At most four figures: 0, 640, 1.1k, 48.2k, 640k, 2.07M."""
    if value is None:
        return ABSENT
    number, unit = compact_parts(value)
    return number + unit


def compact_parts(value: int) -> tuple[str, str]:
    """The figures and the unit apart, for a large figure with a small unit."""
    if value < 1000:
        return str(value), ""
    for limit, scale, unit in ((1_000_000, 1_000, "k"), (1_000_000_000, 1_000_000, "M"), (10**18, 1_000_000_000, "G")):
        scaled = value / scale
        if value < limit and round(scaled, 1) < 1000:
            digits = 2 if unit != "k" and scaled < 10 else 1 if scaled < 100 else 0
            return f"{scaled:.{digits}f}", unit
    return f"{value:.1e}", ""


def tokens(row: Exchange) -> str:
    """`in / out`; an estimate says so with ~."""
    if row.tokens.input is None and row.tokens.output is None:
        return ABSENT
    mark = "~" if row.tokens.estimated else ""
    return f"{mark}{compact(row.tokens.input)} / {compact(row.tokens.output)}"


def money(microusd: int) -> str:
    """A sum: $4.37, $1,204, $0.021, $0.0004. Zero is $0."""
    if microusd == 0:
        return "$0"
    dollars = microusd / 1_000_000
    if dollars >= 1000:
        return f"${dollars:,.0f}"
    if dollars >= 0.1:
        return f"${dollars:.2f}"
    return money_exact(microusd)


def money_exact(microusd: int) -> str:
    """One exchange's cost: three decimals, more where three would show only zeros."""
    if microusd == 0:
        return "$0"
    dollars = microusd / 1_000_000
    if dollars >= 1:
        return f"${dollars:,.2f}"
    if dollars >= 0.001:
        return f"${dollars:.3f}"
    if dollars >= 0.0001:
        return f"${dollars:.4f}"
    return "<$0.0001"


def cost(row: Exchange) -> str:
    """A cost cell: a price, "local", "Unpriced" where tokens were bought that no price is known for, or a dash where nothing was."""
    if row.price == "local":
        return tr("local")
    if row.cost_microusd is not None:
        return money_exact(row.cost_microusd)
    bought = row.model != "" and (row.outcome == "completed" or (row.tokens.output or 0) > 0)
    return tr("Unpriced") if bought else ABSENT


def cost_full(row: Exchange) -> str:
    """A cost with its fourth decimal, where there is room for it."""
    if row.price == "local" or not row.cost_microusd or not 1000 <= row.cost_microusd < 1_000_000:
        return cost(row)
    return f"${row.cost_microusd / 1_000_000:.4f}"


def seconds(duration_us: int | None) -> str:
    """Seconds without the unit, for a column whose title has it."""
    if duration_us is None:
        return ABSENT
    value = duration_us / _SECOND_US
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 0.1:
        return f"{value:.1f}"
    if value == 0:
        return "0"
    return f"{value:.3f}" if value >= 0.0005 else "<0.001"


def duration(duration_us: int | None) -> str:
    """8 ms, 240 ms, 3.8 s, 2 min 5 s."""
    if duration_us is None:
        return ABSENT
    if duration_us < 1000:
        return tr("<1 ms") if duration_us > 0 else tr("0 ms")
    if duration_us < 999_500:
        return tr("{n} ms", n=round(duration_us / 1000))
    if duration_us < 59_950_000:
        return tr("{n} s", n=f"{duration_us / _SECOND_US:.1f}")
    whole = round(duration_us / _SECOND_US)
    return tr("{m} min {s} s", m=whole // 60, s=whole % 60)


def took(duration_us: int | None) -> str:
    """A duration for a narrow cell: 8 ms, 0.9 s, 11.2 s, 125 s."""
    if duration_us is None:
        return ABSENT
    if duration_us < 99_500:
        return duration(duration_us)
    return tr("{n} s", n=seconds(duration_us))


def size(number: int) -> str:
    """Decimal units: 0 B, 640 B, 41.2 kB, 8.4 MB."""
    if number < 1000:
        return f"{number} B"
    value = float(number)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"
    raise AssertionError("unreachable")


def local(at_us: int, zone: tzinfo | None = None) -> datetime:
    """`at_us` on the wall clock of `zone`, or of the machine."""
    return datetime.fromtimestamp(at_us / _SECOND_US, tz=UTC).astimezone(zone)


def clock(at_us: int, zone: tzinfo | None = None) -> str:
    at = local(at_us, zone)
    return f"{at.hour:02}:{at.minute:02}:{at.second:02}"


def clock_exact(at_us: int, zone: tzinfo | None = None) -> str:
    return f"{clock(at_us, zone)}.{at_us % _SECOND_US // 1000:03}"


def day(at_us: int, now_us: int, zone: tzinfo | None = None) -> str:
    """Today, yesterday, 18 Nov, 18 Nov 2025."""
    at, now = local(at_us, zone), local(now_us, zone)
    days = (now.date() - at.date()).days
    if days == 0:
        return tr("today")
    if days == 1:
        return tr("yesterday")
    text = f"{at.day} {_month(at.month)}"
    return text if at.year == now.year else f"{text} {at.year}"


def moment(at_us: int, now_us: int, zone: tzinfo | None = None) -> str:
    """Today 12:04, yesterday 17:08, 18 Nov 10:02."""
    at = local(at_us, zone)
    return f"{day(at_us, now_us, zone)} {at.hour:02}:{at.minute:02}"


def between(first_us: int, last_us: int, now_us: int, zone: tzinfo | None = None) -> str:
    """10:02 to 10:41 where both are today; else 18 Nov 10:02 to 19 Nov 10:41, the day once where it is the same."""
    first, last = local(first_us, zone), local(last_us, zone)
    minutes = f"{first.hour:02}:{first.minute:02}", f"{last.hour:02}:{last.minute:02}"
    days = day(first_us, now_us, zone), day(last_us, now_us, zone)
    if days[0] != days[1]:
        return tr("{a} to {b}", a=f"{days[0]} {minutes[0]}", b=f"{days[1]} {minutes[1]}")
    whole = minutes[0] if minutes[0] == minutes[1] else tr("{a} to {b}", a=minutes[0], b=minutes[1])
    return whole if last.date() == local(now_us, zone).date() else f"{days[0]} {whole}"


def table_time(at_us: int, now_us: int, zone: tzinfo | None = None) -> str:
    """A time cell: the clock today, day and minute before."""
    if local(at_us, zone).date() == local(now_us, zone).date():
        return clock(at_us, zone)
    at = local(at_us, zone)
    return f"{at.day} {_month(at.month)} {at.hour:02}:{at.minute:02}"


def ago(at_us: int, now_us: int, zone: tzinfo | None = None) -> str:
    """Just now, 2 min ago, 3 h ago, yesterday 17:08."""
    passed = now_us - at_us
    if passed < _MINUTE_US:
        return tr("just now")
    if passed < _HOUR_US:
        return tr("{n} min ago", n=passed // _MINUTE_US)
    if local(at_us, zone).date() == local(now_us, zone).date():
        return tr("{n} h ago", n=passed // _HOUR_US)
    return moment(at_us, now_us, zone)


def lasted(since_us: int, now_us: int) -> str:
    """How long something has run: 1 min, 3 h 12 min, 3 d 5 h."""
    passed = max(0, now_us - since_us)
    if passed < _HOUR_US:
        return tr("{n} min", n=max(1, passed // _MINUTE_US))
    if passed < _DAY_US:
        return tr("{h} h {m} min", h=passed // _HOUR_US, m=passed % _HOUR_US // _MINUTE_US)
    return tr("{d} d {h} h", d=passed // _DAY_US, h=passed % _DAY_US // _HOUR_US)


def long_day(now_us: int, zone: tzinfo | None = None) -> str:
    """Friday 20 November."""
    at = local(now_us, zone)
    weekdays = [tr("Monday"), tr("Tuesday"), tr("Wednesday"), tr("Thursday"), tr("Friday"), tr("Saturday"), tr("Sunday")]
    months = [
        tr("January"), tr("February"), tr("March"), tr("April"), tr("May"), tr("June"),
        tr("July"), tr("August"), tr("September"), tr("October"), tr("November"), tr("December"),
    ]  # fmt: skip
    return f"{weekdays[at.weekday()]} {at.day} {months[at.month - 1]}"


def iso_day(text: str) -> str:
    """`2026-11-03` as 3 Nov 2026; anything else unchanged."""
    parts = text.split("-")
    if len(parts) == 3 and all(part.isdigit() for part in parts) and 1 <= int(parts[1]) <= 12:
        return f"{int(parts[2])} {_month(int(parts[1]))} {parts[0]}"
    return text


def hosts(number: int) -> str:
    return plural(number, "{n} host", "{n} hosts")


def short_id(identifier: str) -> str:
    """`req_01KAF…8T2`: enough to recognise, the whole id is a click away."""
    return identifier if len(identifier) <= 16 else f"{identifier[:9]}…{identifier[-3:]}"


def _month(number: int) -> str:
    names = [
        tr("Jan"), tr("Feb"), tr("Mar"), tr("Apr"), tr("May"), tr("Jun"), tr("Jul"), tr("Aug"), tr("Sep"), tr("Oct"), tr("Nov"), tr("Dec"),
    ]  # fmt: skip
    return names[number - 1]
