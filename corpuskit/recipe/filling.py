"""`mix.shards.fim` of a recipe: domains that there are, and a tokenizer that can mark the parts of a document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from corpuskit.core.identity import File
from corpuskit.errors import did_you_mean
from corpuskit.recipe.faults import Faults
from corpuskit.recipe.tree import Node
from corpuskit.shards.fim import HINT, LACKS, TOKENS, known
from corpuskit.shards.settings import Mix, TrainedTokenizer


def check_fim(node: Node, mix: Mix, tokenizer: File | None, domains: Sequence[str], faults: Faults) -> None:
    """Check what the types do not say; a tokenizer on the hub is looked at when it is loaded.

    Args:
        node: of `mix`. mix: validated, with `fim`. tokenizer: the file, if it is a local one.
        domains: of the recipe. faults: to add to.
    """
    fim, chosen = mix.shards.fim, node.get("tokenizer") or node
    shards = node.get("shards")
    table = shards.get("fim") if shards is not None else None
    only = table.get("only") if table is not None else None
    for number, name in enumerate((fim.only if fim is not None else None) or ()):
        if name not in domains and only is not None:
            hint = did_you_mean(name, domains) or f"domains: {', '.join(domains)}"
            faults.add(only.value[number].span, f"unknown domain `{name}`", hint)
    if isinstance(mix.tokenizer, TrainedTokenizer):
        least = 257 + len(TOKENS)
        if mix.tokenizer.train.vocab_size < least:
            reason = f"`vocab_size` {mix.tokenizer.train.vocab_size} has no room for the tokens of `fim`"
            faults.add(chosen.span, reason, f"it needs at least {least}")
    elif tokenizer is not None:
        try:
            added = {token["content"] for token in json.loads(Path(tokenizer).read_bytes())["added_tokens"]}
        except (ValueError, KeyError, TypeError):
            return  # a fault of the file, which says more when it is loaded
        if known(added) is None:
            faults.add(chosen.span, f"the tokenizer {LACKS}", HINT)
