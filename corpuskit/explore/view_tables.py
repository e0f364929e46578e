"""Tables of views that are in no published folder, receipts and the domain table: Parquet files beside a run's plan."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.core.checksum import Damaged, parse_record, with_sum
from corpuskit.core.plan import Plan
from corpuskit.core.work import Receipt
from corpuskit.errors import DamagedFile
from corpuskit.explore import stats
from corpuskit.store.root import Root, described
from corpuskit.store.shown import SHOWN, TABLES

_RECEIPTS = pa.schema(
    [("stage", pa.string()), ("unit", pa.int64()), ("key", pa.string()), ("label", pa.string())]
    + [(name, pa.int64()) for name in ("rows", "bytes")]
    + [("seconds", pa.float64()), ("cpu_seconds", pa.float64()), ("peak_bytes", pa.int64())]
    + [(name, pa.string()) for name in ("content", "reused", "books", "facts")]
)

_DOMAIN_STATS = pa.schema(
    [("domain", pa.string())]
    + [(name, pa.int64()) for name in (*stats.COUNTS, "tokens")]
    + [("duplicate_rate", pa.float64()), ("rules", pa.map_(pa.string(), pa.int64()))]
)


def stand(root: Root, run: str, state: str) -> bool:
    """Whether the tables of a run are there and were made of this state; their contents are not read."""
    try:
        said = parse_record(root.store.get(f"{run}/{SHOWN}"))
    except (FileNotFoundError, Damaged):
        return False
    return said.get("state") == state and all(
        root.store.size(f"{run}/{name}") == entry["bytes"] for name, entry in said["files"].items()
    )


def write(root: Root, plan: Plan, run: str, complete: list[Receipt]) -> dict[str, Any]:
    """Put the tables into the folder of a run; returns what `note` shall say of them."""
    receipts = pa.Table.from_pylist([_receipt(receipt) for receipt in complete], _RECEIPTS)
    files = {}
    for name, table in zip(TABLES, (receipts, _domain_stats(stats.domain_table(root, plan))), strict=True):
        written = pa.BufferOutputStream()
        pq.write_table(table, written, compression="zstd")
        content = written.getvalue().to_pybytes()
        root.store.put(f"{run}/{name}", content)
        files[name] = described(content)
    return files


def note(root: Root, run: str, state: str, files: dict[str, Any]) -> None:
    """Say of what state the tables are, and what is in them."""
    root.store.put(f"{run}/{SHOWN}", with_sum({"state": state, "files": files}))


def refuse_damaged(root: Root, run: str) -> None:
    """Raise DamagedFile if a table of a run is not what was written."""
    with contextlib.suppress(FileNotFoundError, Damaged):  # whatever asks next makes it anew
        for name, entry in parse_record(root.store.get(f"{run}/{SHOWN}")).get("files", {}).items():
            if described(root.store.get(f"{run}/{name}")) != entry:
                raise DamagedFile(root.url, f"{run}/{name}", "it is not what was written", "")


def _receipt(receipt: Receipt) -> dict[str, Any]:
    row = {name: getattr(receipt, name) for name in _RECEIPTS.names if hasattr(receipt, name)}
    parts = receipt.parts.values()
    sums = {"rows": max((part.rows for part in parts), default=0), "bytes": sum(part.bytes for part in parts)}
    return row | sums | {name: json.dumps(getattr(receipt, name), sort_keys=True) for name in ("books", "facts")}


def _domain_stats(table: list[stats.DomainStats]) -> pa.Table:
    return pa.Table.from_pylist([row.as_json() | {"rules": list(row.rules.items())} for row in table], _DOMAIN_STATS)
