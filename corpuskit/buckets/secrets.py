"""Keeps secrets out of what is written: plans, receipts and logs name addresses, errors say what stores answered."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qsl, urlsplit

from corpuskit.errors import UsageError

_STORES = ("AWS_", "AZURE_", "GOOGLE_", "HF_", "HUGGING_FACE_", "FSSPEC_")
_NAMED = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|SAS|CONNECTION_STRING")
_SIGNED = re.compile(r"signature|^sig$|token|credential|secret|password|key", re.IGNORECASE)

SHORTEST = 8
"""Characters of a value that is taken for a secret."""


def refuse_secrets(url: str) -> None:
    """Refuse an address with a password or a signature in it, without repeating them.

    Raises:
        UsageError: it has some.
    """
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    container = parts.scheme in ("abfs", "abfss") and ":" not in user  # of Azure it stands there
    signed = any(_SIGNED.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme and ((at and not container) or signed):
        shown = f"{parts.scheme}://{'***@' * bool(at)}{host}{parts.path}{'?***' * bool(parts.query)}"
        raise UsageError(
            f"{shown}: a password, key or signature in an address would be written into plans and logs",
            "leave it out, and give credentials in the environment: AWS_ACCESS_KEY_ID and the like",
        )


def without_secrets(text: str) -> str:
    """A text in which the credentials of the environment are starred: some stores repeat them in their errors."""
    named = (value for name, value in os.environ.items() if name.startswith(_STORES) and _NAMED.search(name))
    for value in sorted(named, key=len, reverse=True):  # one may begin with another, and would lose its beginning alone
        if len(value) >= SHORTEST:
            text = text.replace(value, "***")
    return text
