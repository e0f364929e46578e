"""The six stages of `minhash`, in the order in which they run; each is a body `(work) -> None`."""

from corpuskit.dedup.bands import bands
from corpuskit.dedup.choose import choose
from corpuskit.dedup.exact import exact
from corpuskit.dedup.rank import rank
from corpuskit.dedup.signatures import signatures
from corpuskit.dedup.verify import verify

__all__ = ["bands", "choose", "exact", "rank", "signatures", "verify"]
