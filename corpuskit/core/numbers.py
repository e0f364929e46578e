"""Numbers as people write them: `500k` and `1.5B` count things, `4GiB` and `2GB` count bytes, `90s` and `2h` time."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator

_COUNTS = {"k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_BYTES = {"B": 1}
for _power, _letter in enumerate("KMGT", start=1):
    _BYTES |= {f"{_letter}iB": 1024**_power, f"{_letter}B": 1000**_power}
_BYTES["kB"] = 1000

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}

_NUMBER = re.compile(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)")


def parse_count(value: Any) -> Any:
    """`500k`, `2M`, `1.5B`, `1T` as an int; everything else, and what is no whole number, as it came."""
    return _parse(value, _COUNTS)


def parse_bytes(value: Any) -> Any:
    """`4GiB`, `512MiB`, `2GB` as an int; everything else, and what is no whole number, as it came."""
    return _parse(value, _BYTES)


def _parse(value: Any, units: dict[str, int]) -> Any:
    match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in units:
        return value
    number = Decimal(match[1]) * units[match[2]]
    return int(number) if number == int(number) else value


def _bytes(value: Any) -> Any:
    parsed = parse_bytes(value)
    if isinstance(parsed, bool) or not isinstance(parsed, int):
        msg = "should be bytes, such as `512MiB`, `4GiB`, `2GB` or a whole number"
        raise ValueError(msg)  # noqa: TRY004  (pydantic reports a ValueError with its place)
    return parsed


def _seconds(value: Any) -> Any:
    parsed = _parse(value, _SECONDS)
    if isinstance(parsed, bool) or not isinstance(parsed, int) or parsed < 1:
        msg = "should be a time, such as `90s`, `10min`, `2h`, or a whole number of seconds"
        raise ValueError(msg)
    return parsed


Seconds = Annotated[int, BeforeValidator(_seconds)]
"""A time in a model, in seconds."""

Bytes = Annotated[int, BeforeValidator(_bytes)]
"""A number of bytes in a model."""
