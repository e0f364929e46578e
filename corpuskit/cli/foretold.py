"""What is said of tokens before anything runs: whether the tokenizer is there and quick, and the budget feasible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpuskit.core.keys import plain
from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan
from corpuskit.mix.methods import learns_here
from corpuskit.shards.contents import make_plan, with_weights
from corpuskit.shards.encoder import Encoder, missing
from corpuskit.shards.kinds import FILE_TOKENS, Tokens
from corpuskit.shards.planning import mix_parameters
from corpuskit.shards.settings import Mix
from corpuskit.shards.tokenizer import load
from corpuskit.store.root import Root
from corpuskit.train.blocks import Blocks


def check_tokenizer(tokenizer: str) -> None:
    """Read a tokenizer if it is a file, and no name on the hub.

    Raises:
        UsageError: it is damaged, or is none.
    """
    if Path(tokenizer).exists():
        load(tokenizer)


def encoder(mix: Mix, plan: Plan, root: Root) -> str | None:
    """Why `tokenizers` will encode alone, fifty times slower than gigatoken; None if it will not.

    A name on the hub is fetched, unless the root has the tokenizer.

    Raises:
        UsageError: there is no such tokenizer.
    """
    if not isinstance(mix.tokenizer, str):
        return missing()
    if root.complete(plan.stages["tokenizer"]):
        stages = (stage for stage in plan.stages.values() if stage.kind == "tokens")
        said = [str(receipt.facts["encoder"]) for stage in stages for receipt in root.complete(stage)]
        return next((text.removeprefix("tokenizers: ") for text in said if text != "gigatoken"), None)
    return Encoder(load(mix.tokenizer), plan.memory).why_slow


def check_budget(mix: Mix, plan: Plan, root: Root) -> None:
    """Refuse a budget that the tokens of a corpus cannot give, where they are counted already.

    Domains are taken as one stream of tokens each: what packing pads is not known here, and is under 1 %.

    Raises:
        Infeasible: names the largest budget that is feasible.
    """
    if mix.tokens == "max" or any(map(learns_here, mix.weighings)):
        return
    counted: dict[str, tuple[int, int]] = {}
    for stage in plan.stages.values():
        if stage.kind == "tokens":
            receipts = root.complete(stage)
            if len(receipts) < len(stage.units):
                return
            tokens, documents = counted.get(spec_of(stage, Tokens).domain, (0, 0))
            tokens += sum(receipt.facts["train"]["tokens"] for receipt in receipts)
            documents += sum(receipt.facts["train"]["documents"] for receipt in receipts)
            counted[spec_of(stage, Tokens).domain] = tokens, documents
    content: dict[str, Any] = plain(mix_parameters(mix)) | {"packing": "concat"}
    content = with_weights(content, plain(mix.weights if mix.phases is None else mix.weighings))
    blocks = {name: Blocks(tokens, mix.longest + 1) for name, (tokens, _) in sorted(counted.items())}
    make_plan({name: documents for name, (_, documents) in counted.items()}, blocks, content, "", FILE_TOKENS)
