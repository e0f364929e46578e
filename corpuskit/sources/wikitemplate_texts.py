"""Texts that templates of Wikipedia make of their arguments: measures, numbers, formulas, dates, names of ships."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Arguments = Mapping[str, str]
"""Of a template, by name; those without one by their number, from 1."""

_SUPERSCRIPTS = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_SUBSCRIPTS = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
_RAISED, _LOWERED = (frozenset(map(chr, table)) for table in (_SUPERSCRIPTS, _SUBSCRIPTS))


def raised(text: str) -> str:
    """Digits and signs as superscripts, so that a power stays one: 10⁶, not 106. Other text stays as it is."""
    return text.translate(_SUPERSCRIPTS) if _RAISED.issuperset(text) else text


def lowered(text: str) -> str:
    """Digits and signs as subscripts: H₂O. Other text stays as it is."""
    return text.translate(_SUBSCRIPTS) if _LOWERED.issuperset(text) else text


def positional(arguments: Arguments) -> list[str]:
    """The arguments 1, 2, ... as far as they go."""
    found: list[str] = []
    while (argument := arguments.get(str(len(found) + 1))) is not None:
        found.append(argument)
    return found


_RANGE = {"-": "–", "–": "–", "to": " to ", "and": " and ", "or": " or ", "x": " × ", "×": " × ", "by": " by "} | {
    "to(-)": "–",
    "&": " and ",
    "+/-": " ± ",
    "±": " ± ",
    "*": " × ",
    "xx": " × ",
    ",": ", ",
}
_UNITS = {"C": "°C", "F": "°F", "sqmi": "sq mi", "sqft": "sq ft", "cuft": "cu ft", "C-change": "°C", "F-change": "°F"}
_UNIT_POWER = re.compile(r"(?<=[^\W\d])([23])(?![\w])")
_NUMBER = re.compile(r"[\d০-৯.,+\-−/ ]+")


def convert(arguments: Arguments) -> str:
    """A measure as it was given, with its unit; ranges too. What it is in other units is left out."""
    values = positional(arguments)
    said, unit = values[0] if values else "", ""
    at = 1
    while at + 1 < len(values) and values[at] in _RANGE:
        said += _RANGE[values[at]] + values[at + 1]
        at += 2
    unit = values[at] if at < len(values) else ""
    said = f"{said} {_unit(unit)}".strip()
    if at + 2 < len(values) and unit in ("ft", "lb", "st", "mi", "yd") and _NUMBER.fullmatch(values[at + 1]):
        said += f" {values[at + 1]} {_unit(values[at + 2])}"  # 6 ft 2 in
    return said


def _unit(unit: str) -> str:
    return _UNITS.get(unit) or _UNIT_POWER.sub(lambda power: raised(power[1]), unit)


def fraction(arguments: Arguments) -> str:
    """Of two parts `1/2`, of three `1 1/2`; one alone is what one is divided by."""
    parts = [f"({part})" if " " in part.strip() else part for part in positional(arguments)]
    if len(parts) < 2:
        return f"1/{parts[0]}" if parts else ""
    return f"{' '.join(parts[:-2])} {parts[-2]}/{parts[-1]}".strip()


def value(arguments: Arguments) -> str:
    """A number with its error, power of ten and unit."""
    values = positional(arguments)
    said = values[0] if values else ""
    if len(values) == 2:
        said += values[1] if values[1].startswith("(") else f"±{values[1].lstrip('±')}"
    elif len(values) > 2:
        said += f"+{values[1].lstrip('+')}−{values[2].lstrip('-−')}"
    said += arguments.get("end", "")
    if exponent := arguments.get("e"):
        said = (said + "×" if said else "") + f"10{raised(exponent)}"
    if unit := arguments.get("u") or arguments.get("ul"):
        said += f" {_unit(unit)}"
    if per := arguments.get("up") or arguments.get("upl"):
        said += f"/{_unit(per)}"
    return said


def formula(arguments: Arguments) -> str:
    """Of chemistry: elements, and counts below or charges above them."""
    return "".join(raised(part) if part[-1:] in "+-−" else lowered(part) for part in positional(arguments) if part)


_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_MONTHS_UK = [
    "січня",
    "лютого",
    "березня",
    "квітня",
    "травня",
    "червня",
    "липня",
    "серпня",
    "вересня",
    "жовтня",
    "листопада",
    "грудня",
]


def _month(number: str, months: list[str]) -> str:
    return months[int(number) - 1] if number.isdecimal() and 1 <= int(number) <= 12 else number


def date(arguments: Arguments) -> str:
    """Year, month and day as `July 17, 1912`, or the day first where the template says so."""
    year, month, day = ([*positional(arguments), "", "", ""])[:3]
    month = _month(month, _MONTHS)
    if not day or not month:
        return f"{month} {year}".strip()
    return f"{day} {month} {year}" if arguments.get("df") else f"{month} {day}, {year}"


def date_uk(arguments: Arguments) -> str:
    """Day, month and year in Ukrainian."""
    day, month, year = ([*positional(arguments), "", "", ""])[:3]
    return " ".join(part for part in (day, _month(month, _MONTHS_UK), year) if part)


def old_style(arguments: Arguments) -> str:
    """What stands before the last argument, a date's other calendar."""
    return " ".join(positional(arguments)[:-1])


def as_of(arguments: Arguments) -> str:
    """`As of July 1912`; a year that is not ASCII stays as it is."""
    year, month, day = ([*positional(arguments), "", "", ""])[:3]
    if alt := arguments.get("alt"):
        return alt
    if not year.isascii():
        return year
    when = " ".join(part for part in (day, _month(month, _MONTHS), year) if part)
    return f"{'as' if arguments.get('lc') else 'As'} of {when}"


def circa(arguments: Arguments) -> str:
    """`c. 1912`, or two years."""
    return " – ".join(f"c. {year}" for year in positional(arguments)) or "c."


def nihongo(arguments: Arguments) -> str:
    """English, and in brackets the Japanese and its transcription."""
    english, *others = positional(arguments)[:3] or [""]
    inside = ", ".join(other for other in others if other)
    return f"{english} ({inside})" if english and inside else english or inside


def ship(prefix: str) -> Callable[[Arguments], str]:
    """Names a ship: its kind, its name and, in brackets, its hull, or as much of that as the third argument asks."""

    def said(arguments: Arguments) -> str:
        parts = [*positional(arguments), "", "", "", ""]
        kind = prefix
        if not prefix:
            kind, *parts = parts
        name, hull, how = parts[:3]
        if how in ("1", "2"):
            return hull if how == "1" else name
        if how == "3":
            kind = ""
        whole = f"{kind} {name}".strip()
        return f"{whole} ({hull})" if hull and how != "6" else whole

    return said


def last(arguments: Arguments) -> str:
    """The last argument without a name."""
    return (positional(arguments) or [""])[-1]


def numeric_date(arguments: Arguments) -> str:
    """A date as `1912-07-17`."""
    return "-".join(part.zfill(2) for part in positional(arguments)[:3] if part)
