"""What the tables of a recipe are made of: their base, and the types of their values."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

NAME = r"[A-Za-z0-9._-]+"
"""Names that become folders: of recipes, sources and domains."""


def _name(value: str) -> str:
    import re

    if not re.fullmatch(NAME, value) or value.strip(".") == "":
        msg = "is not a name: letters, digits, `.`, `_` and `-` only"
        raise ValueError(msg)
    return value


def _no_bool(value: Any) -> Any:
    # pydantic takes true for 1
    if isinstance(value, bool):
        msg = f"should be a number, not {str(value).lower()}"
        raise ValueError(msg)  # noqa: TRY004  (pydantic reports a ValueError with its place)
    return value


Name = Annotated[str, AfterValidator(_name)]
Whole = Annotated[int, BeforeValidator(_no_bool)]
Number = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]
Share = Annotated[Number, Field(ge=0)]
Seed = Annotated[Whole, Field(ge=0, lt=2**63)]


class Keys(BaseModel):
    """A table of the recipe; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
