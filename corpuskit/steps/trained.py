"""Models of `perplexity` that corpuskit's trainer trained: how recipes name them, and how documents are scored.

torch is imported where documents are scored, and nowhere else on this side of the toolkit.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pydantic

from corpuskit.core.identity import Folder, file_digest
from corpuskit.errors import InputError, UsageError
from corpuskit.lm import cutting
from corpuskit.train.saved import Saved


class CheckpointFolder(Folder):
    """A checkpoint `step-N`; a recipe may also name the folder or the root that holds it, whose last one is meant."""

    __slots__ = ()

    def fingerprint(self) -> dict[str, Any]:
        """Digests of its files, and of the tokenizer."""
        saved = Saved.open(Path(self))
        files = {path.name: file_digest(path) for path in sorted(saved.path.iterdir())}
        return {"checkpoint": files, "tokenizer": file_digest(_tokenizer(saved))}

    @classmethod
    def at(cls, path: Path) -> Self:
        """The checkpoint itself, so that one that is saved later is not taken in its place.

        Raises:
            UsageError: there is none that is whole, or its tokenizer is not known.
        """
        Folder.at(path)
        try:
            saved = Saved.open(path)
        except InputError as error:
            raise UsageError(error.message, error.hint) from None
        _tokenizer(saved)
        return cls(saved.path.resolve())


class Checkpoint(pydantic.BaseModel):
    """A model that corpuskit trained.

    Attributes:
        checkpoint: a folder `step-N`, or the folder or root of the run that holds it.
        device: what computes; on another one the last bits are others.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    checkpoint: CheckpointFolder
    device: Literal["cpu", "cuda"] = "cpu"

    @property
    def bytes(self) -> int:
        """Of its weights, which a worker holds while it scores."""
        return Saved.open(Path(self.checkpoint)).weight_bytes

    @property
    def libraries(self) -> tuple[str, ...]:
        """What it is scored with."""
        return ("tokenizers", "torch", *(["transformers"] if Saved.open(Path(self.checkpoint)).foreign else []))

    def score(self, texts: pa.Array) -> list[tuple[float, int]]:
        """Of each text (string[n], nulls are empty) the sum of the NLL of its tokens but the first; their number."""
        tokenizer, scorer = _load(self.checkpoint, self.device)

        def encoded(text: str | None) -> npt.NDArray[np.int64]:
            ids = [tokenizer.encode(piece, add_special_tokens=False).ids for piece in cutting.pieces(text or "")]
            return np.concatenate([np.zeros(0, np.int64), *(np.asarray(each, np.int64) for each in ids)])

        found: list[tuple[float, int]] = scorer.score(map(encoded, texts.to_pylist()))
        return found


@functools.lru_cache(maxsize=2)
def _load(path: CheckpointFolder, device: str) -> tuple[Any, Any]:
    """The tokenizer, which takes special tokens in text for text, and the model."""
    from tokenizers import Tokenizer

    from corpuskit.train.scoring import Scorer
    from corpuskit.train.trained import Trained

    trained = Trained.open(Path(path))
    tokenizer = Tokenizer.from_file(str(_tokenizer(trained)))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer, Scorer(trained, device)


def _tokenizer(saved: Saved) -> Path:
    """That the model was trained with.

    Raises:
        UsageError: it is not known, or another one stands in its place.
    """
    path, wanted = saved.tokenizer, saved.state["identity"].get("tokenizer")
    if path is None:
        raise UsageError(
            f"{saved.path} lies in no run whose tokenizer would be known",
            "name one in the root of its run, or put that root's tokens/tokenizer.json beside it, in `tokens/`",
        )
    if wanted is not None and hashlib.sha256(path.read_bytes()).hexdigest() != wanted:
        raise UsageError(f"{path} is not the tokenizer that {saved.path} was trained with", "train it again")
    return path
