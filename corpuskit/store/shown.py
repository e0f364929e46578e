"""What the folder of a run holds beside the records of what was asked and done: what people are shown of it.

It is made of receipts and published folders, so that any verb can make it anew, and no result rests on it.
"""

PAGE = "report.html"
"""The report."""

TABLES = ("receipts.parquet", "domain_stats.parquet")
"""What views show that is in no published folder."""

SHOWN = "views.json"
"""What the tables are made of, hashed, and their digests: a record with a sum of its own, put after them."""
