"""What a stage is told: a dataclass of its kind, which plan.json and the stage's key hold as JSON."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from typing import Any, ClassVar, Self

from corpuskit.errors import InputError

ASIDE = types.MappingProxyType({"identity": False})
"""Metadata of a field of a `Spec` that has no part in its identity, such as a path."""


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a stage is told; a kind of stage whose body wants more has a dataclass that adds fields.

    A field is JSON, another dataclass, or a tuple of one of the two. Its key is made of all fields but those marked
    `ASIDE`.
    A field at its default is left out, so that a new field with a default leaves the keys of older plans as they are.

    Attributes:
        version: of the body; raised when it would give other parts for the same fields.
    """

    version: ClassVar[int] = 1

    @property
    def hidden(self) -> Any:
        """What of the fields aside, as JSON, passes into the parts though it is not in the key."""
        return []

    @property
    def reads(self) -> bool:
        """Whether the inputs of the stage's units are raw files of this corpus."""
        return False

    @property
    def strict(self) -> bool:
        """Whether a unit with unreadable records does not count as complete."""
        return False

    def identity(self) -> dict[str, Any]:
        """What the stage's key is made of, as JSON."""
        return {"version": self.version} | _dumped(self, identity=True)

    def aside(self) -> dict[str, Any]:
        """The fields without identity, as JSON."""
        return _dumped(self, identity=False)

    @classmethod
    def parse(cls, identity: dict[str, Any], aside: dict[str, Any]) -> Self:
        """From the JSON that the two others give.

        Raises:
            InputError: the fields are those of another version of corpuskit.
        """
        fields = {name: value for name, value in identity.items() if name != "version"} | aside
        try:
            return typing.cast("Self", _parsed(cls, fields))
        except TypeError as error:
            msg = f"the plan was made by another version of corpuskit: {error}"
            raise InputError(msg, "run the recipe again, or use the version that made the run") from None


def _dumped(value: Any, *, identity: bool) -> dict[str, Any]:
    found = {}
    for field in dataclasses.fields(value):
        one = getattr(value, field.name)
        default = field.default_factory() if callable(field.default_factory) else field.default
        if field.metadata.get("identity", True) == identity and one != default:
            found[field.name] = _plain(one)
    return found


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return _dumped(value, identity=True)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


@functools.cache
def _types(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _parsed(kind: Any, value: Any) -> Any:
    if isinstance(kind, types.UnionType):  # `Reader | None`
        (kind,) = (one for one in typing.get_args(kind) if one is not types.NoneType)
        return None if value is None else _parsed(kind, value)
    if dataclasses.is_dataclass(kind):
        kinds = _types(typing.cast("type", kind))
        made = {name: _parsed(kinds.get(name), one) for name, one in value.items()}
        return typing.cast("type", kind)(**made)
    if typing.get_origin(kind) is tuple:
        return tuple(_parsed(typing.get_args(kind)[0], one) for one in value)
    return value
