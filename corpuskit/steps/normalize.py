"""Unicode normalization of the text, an edit."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from corpuskit.core import step
from corpuskit.core.batch import Batch, set_column, utf8


@step.edit(libraries=("pyarrow",))
def normalize(batch: Batch, *, unicode: Literal["NFC", "NFKC"] = "NFC") -> Batch:
    """Bring the text into a Unicode normalization form (Unicode Standard Annex 15).

    A text of characters that neither change nor combine with others is in that form already and is left where it is;
    so is a batch in which nothing changes. A null text stays null. The tables are those of pyarrow's utf8proc, whose
    version is part of the key.
    """
    from corpuskit.kernels.quick_check import in_form

    text = batch.column("text")
    other = pa.array(~in_form(*utf8(text), unicode))
    before = text.filter(other)
    after = pc.utf8_normalize(before, form=unicode)
    if after.equals(before):
        return batch
    changed: pa.Array = pc.replace_with_mask(text, other, after)
    return set_column(batch, "text", changed)
