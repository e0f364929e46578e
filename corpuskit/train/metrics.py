"""What a run reports: `metrics.jsonl`, one record a step, and a bar of progress every two seconds.

After a resume the log goes on from the checkpoint: records of steps that will be repeated are cut off first.
TensorBoard and Weights & Biases get the same numbers where they are asked for.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from corpuskit.errors import UsageError

PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bf16, makers' data sheets


RATES = 1000
"""As many last steps say how fast a run was."""


def say(text: str) -> None:
    """A line to stderr, at once."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the trainer's progress


def peak_flops(device: str) -> float | None:
    """FLOP/s of a CUDA device by its name, or None where it is not known: then no MFU is printed."""
    return next((peak for name, peak in PEAK_FLOPS.items() if name in device), None)


class Log:
    """The log of the process that writes it.

    Args:
        path: `metrics.jsonl`.
        step: the step that the run continues from; later records are removed.
        peak: FLOP/s of all devices together, or None.
        loggers: names of `LOGGERS` that get the numbers too.
    """

    def __init__(
        self, path: Path, step: int, steps: int, peak: float | None, loggers: Sequence[str] | None = None
    ) -> None:
        self.path, self.steps, self.peak = path, steps, peak
        self.others = [LOGGERS[name](path.parent, step) for name in loggers or ()]
        kept = [line for line in _lines(path) if self._stays(json.loads(line), step)]
        temporary = path.with_name(path.name + ".partial")
        temporary.write_text("".join(kept), encoding="utf-8")
        temporary.rename(path)
        self.began = self.printed = time.monotonic()
        self.first = step
        self.rates = deque[float](maxlen=RATES)

    def _stays(self, record: dict[str, Any], step: int) -> bool:
        """Whether a record will not be written again; the last validation will be: it follows the last checkpoint."""
        return bool(record["step"] <= step and not (record["step"] == self.steps and "domain" in record))

    def write(self, **record: Any) -> None:
        """Append one record."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if self.others:
            step = record["step"]
            group = f"validation/{record['domain']}" if "domain" in record else "train"
            numbers = {f"{group}/{name}": value for name, value in record.items() if isinstance(value, float)}
            for other in self.others:
                other.put(step, numbers)

    def close(self) -> None:
        """Nothing more will be written; says how fast the steps of this process were."""
        if self.rates:
            say(f"median of the last {len(self.rates):,} steps: {statistics.median(self.rates):,.0f} tokens a second")
        for other in self.others:
            other.close()

    def step(
        self, step: int, tokens: int, loss: float, lr: float, norm: float, rate: float, flops: int, **more: Any
    ) -> None:
        """Append a step's record; print it every two seconds.

        `tokens` since the run began, `rate` of them a second, `flops` of training for one.
        """
        self.write(step=step, tokens=tokens, loss=loss, lr=lr, grad_norm=norm, tokens_per_second=round(rate, 1), **more)
        self.rates.append(rate)
        now = time.monotonic()
        if now - self.printed < 2 and step != self.steps:
            return
        self.printed = now
        left = (self.steps - step) * (now - self.began) / (step - self.first)
        mfu = f"  MFU {rate * flops / self.peak:.1%}" if self.peak else ""
        speed = f"{rate:,.0f} tok/s{mfu}  {left:.0f} s left"
        done = 20 * step // self.steps
        bar = "█" * done + "░" * (20 - done)
        say(f"step {step}/{self.steps} {bar}  {tokens:,} tokens  loss {loss:.4f}  lr {lr:.2e}  {speed}")


def _lines(path: Path) -> list[str]:
    """Whole lines; a last one that a kill cut short is left out."""
    if not path.exists():
        return []
    return [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]


class Logger(Protocol):
    """What gets the numbers of a run beside `metrics.jsonl`."""

    def put(self, step: int, numbers: dict[str, float]) -> None:
        """Numbers of a step by name."""

    def close(self) -> None:
        """Nothing more will come."""


class _TensorBoard:
    def __init__(self, out: Path, step: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.writer: Any = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)

    def put(self, step: int, numbers: dict[str, float]) -> None:
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


class _Wandb:
    def __init__(self, out: Path, _step: int) -> None:
        import wandb

        self.run: Any = wandb.init(dir=str(out), id=out.name, name=out.name, project="corpuskit", resume="allow")

    def put(self, step: int, numbers: dict[str, float]) -> None:
        self.run.log(numbers, step=step)

    def close(self) -> None:
        self.run.finish()


LOGGERS: dict[str, Callable[[Path, int], Logger]] = {"tensorboard": _TensorBoard, "wandb": _Wandb}


def need_loggers(names: Sequence[str] | None) -> None:
    """Raise UsageError if a logger that was asked for is not installed."""
    for name in names or ():
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"loggers: `{name}` is not installed", f"pip install {name}, or leave it out of `loggers`")
