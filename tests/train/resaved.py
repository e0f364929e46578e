"""`python resaved.py CONFIG.json FROM TO STEP`: load a checkpoint in as many processes as run this; save it again."""

import os
import sys
from pathlib import Path

from corpuskit.train import checkpoint, config
from corpuskit.train.data import Shards
from corpuskit.train.optim import optimizer_of
from corpuskit.train.parallel import sharded_model, world


def resave(settings, source, to, step):
    """Every process calls it; `TO/step-STEP` holds what was loaded."""
    with world(settings) as group:
        model = sharded_model(settings, Shards(Path(settings.shards), settings.mask).vocab_size, group)
        optimizer = optimizer_of(model, settings)
        checkpoint.load(source, model, optimizer)
        if group.rank == 0:
            to.mkdir(parents=True)
        checkpoint.save(to, step, model, optimizer, {"step": step}, group)


if __name__ == "__main__":
    path, source, to, step = sys.argv[1:]
    resave(config.read(Path(path)), Path(source), Path(to), int(step))
    os._exit(0)  # torch's threads may outlive the interpreter
