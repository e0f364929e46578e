"""A folder with user steps, and helpers to write and load a recipe there."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from corpuskit.recipe import Recipe, RecipeError, load

STEPS = """
from typing import Annotated, Literal
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field
from corpuskit import step
from corpuskit.step import File


@step.source(columns={"url": "string", "year": "int64"})
def lines(file, *, field: str = "text"):
    yield from ()


@step.source
def bare(file):
    yield from ()


@step.signal(columns={"score": "float64"})
def score(batch, *, threshold: Annotated[float, Field(ge=0, le=1)] = 0.5, level: int = 3):
    return pa.array([0.0] * batch.num_rows)


@step.signal(columns=lambda as_, **_: {as_: "float64"})
def named(batch, *, model: File, as_: str = "ppl"):
    return pa.array([0.0] * batch.num_rows)


@step.signal
def undeclared(batch):
    return pa.array([0] * batch.num_rows)


class Window(BaseModel, extra="forbid"):
    size: int = 3
    unit: Literal["char", "word"] = "char"


@step.filter
def short(batch, *, window: Window = Window(), max_hits: int = 0):
    return pc.greater(pc.utf8_length(batch["text"]), max_hits)


@step.edit
def upper(batch, *, form: Literal["NFC", "NFKC"] = "NFC"):
    return batch


@step.preset
def pair(*, most: float = 1):
    return [{"./steps.py:score": {}}, {"where": f"score < {most}", "name": "most"}, {"where": "score > 0"}]


@step.preset
def endless():
    return [{"./steps.py:endless": {}}]


@step.preset
def broken():
    raise RuntimeError("out of luck")


@step.preset
def text():
    return "where: x"


def not_a_step():
    pass
"""

SOURCES = """\
sources:
  web: {read: "./steps.py:lines", path: "web/*.gz"}
  books: {read: "./steps.py:lines", path: [a.gz, b.gz]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "model.arpa").write_text("a model")
    return tmp_path


@pytest.fixture
def make(folder: Path) -> Callable[..., Recipe]:
    """Load a recipe of two sources, `web` and `books`, and the given text."""

    def loaded(text: str = "", *overrides: str, sources: str = SOURCES, **environ: str) -> Recipe:
        path = folder / "recipe.yaml"
        path.write_text(sources + textwrap.dedent(text))
        return load(path, list(overrides), environ)

    return loaded


@pytest.fixture
def report(make: Callable[..., Recipe]) -> Callable[..., str]:
    """The report of a recipe that must not load, without the folder's name."""

    def faults(text: str = "", *overrides: str, sources: str = SOURCES, **environ: str) -> str:
        with pytest.raises(RecipeError) as caught:
            make(text, *overrides, sources=sources, **environ)
        return str(caught.value)

    return faults
