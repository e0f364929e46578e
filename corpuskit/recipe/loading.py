"""From a recipe file and overrides to a validated recipe; all faults are reported at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from corpuskit.core.calls import Source
from corpuskit.core.identity import File
from corpuskit.core.step import Step
from corpuskit.errors import UsageError, did_you_mean
from corpuskit.loops.settings import FOREIGN, Train
from corpuskit.mix import methods
from corpuskit.mix.presets import check_weights
from corpuskit.recipe import override
from corpuskit.recipe.calls import StepReader, find, guarded, mixing_method, parameters, placed_reference
from corpuskit.recipe.expect import parse_expect
from corpuskit.recipe.faults import Document, Faults, RecipeError
from corpuskit.recipe.filling import check_fim
from corpuskit.recipe.models import Recipe, Settings, SourceKeys, absolute
from corpuskit.recipe.phasing import check_bounds, check_phases
from corpuskit.recipe.rules import Columns, check_rules, warnings
from corpuskit.recipe.swarming import check_learning, check_swarm
from corpuskit.recipe.tree import Node, expand, parse, planted, shown
from corpuskit.recipe.validate import keys_of, validated
from corpuskit.shards.settings import Phase, Swarm


def load(
    path: str | os.PathLike[str], overrides: list[str] | None = None, environ: Mapping[str, str] | None = None
) -> Recipe:
    """Read and validate a recipe; raw files are not looked at.

    Args:
        path: the recipe, YAML in UTF-8.
        overrides: `key.sub=value`, or `key.sub=@FILE` (relative to the current folder).
        environ: for `${NAME}` in texts; default: the environment of the process.

    Raises:
        RecipeError: no such file, or everything that is wrong with it.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        _unreadable(path, error)
    except UnicodeDecodeError as error:
        msg = f"{path}: not UTF-8: byte {error.start} is {error.object[error.start]:#04x}"
        raise RecipeError(msg, "save it as UTF-8") from None
    faults = Faults(str(path))
    base = path.resolve().parent
    document = Document(str(path), tuple(text.splitlines()) or ("",), base)
    root = parse(text, document, faults)
    if not isinstance(root.value, dict):
        what = "is empty" if root.value is None else f"should be a table of keys and values, not {shown(root)}"
        faults.add(root.span, f"the recipe {what}", "corpuskit init writes a starter recipe")
        faults.fail()
    override.apply(root, overrides or [], base, faults)
    # only now: what an override replaces needs no variable
    expand(root, faults, os.environ if environ is None else environ)
    return _Loader(root, path, base, faults).load()


def _unreadable(path: Path, error: OSError) -> NoReturn:
    if (path / "runs").is_dir():
        raise RecipeError(
            f"{path} is the root of a run; a recipe is wanted here",
            f"name the recipe's file, and the root by --root {path}; {path}/runs/*/recipe.yaml are those of its runs",
        ) from None
    folders = dict.fromkeys((path.parent, Path("recipes")))
    found = [str(other) for folder in folders if folder.is_dir() for other in sorted(folder.glob("*.y*ml"))]
    near = did_you_mean(str(path), found) or did_you_mean(path.name, [Path(other).name for other in found])
    known = f"there are: {', '.join(found[:8])}" if found else "corpuskit init writes a starter recipe"
    raise RecipeError(f"{path}: cannot be read: {error.strerror}", near or known) from None


class _Loader:
    """Walks the tree of a recipe part by part; every part goes on after the faults of the others."""

    def __init__(self, root: Node, path: Path, base: Path, faults: Faults) -> None:
        self.root, self.path, self.base, self.faults = root, path, base, faults
        self.domains: list[str] = []
        self.warnings: list[str] = []

    def load(self) -> Recipe:
        settings = validated(Settings.model_validate, Settings, self.root, self.faults, "the recipe")
        sources = self._sources()
        steps = StepReader(self.base, self.domains, self.faults)
        placed = steps.read(self.root.get("steps") or planted([], self.root.span), mixes=self._at("mix") is not None)
        # after a fault, what a rule reads or an `expect` names may be the step that could not be read
        check_rules(sources.values() if steps.whole else (), placed, self.faults)
        rules = [one.call.name for one in placed if one.rule] if steps.whole else None
        tokenizer = self._tokenizer()
        weights = self._weights(self._at("mix", "weights"), settings)
        phases = self._phases(settings)
        swarm = self._swarm(settings, held_out=not steps.no_holdout)
        if settings is not None and settings.mix is not None and settings.mix.shards.fim is not None:
            check_fim(self._at("mix") or self.root, settings.mix, tokenizer, self.domains, self.faults)
        self._train(settings)
        train = self._foreign(None if settings is None else settings.train)
        self._expect(rules)
        name = self._recipe_name(settings)
        self.faults.check()
        assert settings is not None
        mix = settings.mix
        if mix is not None and tokenizer is not None:
            mix = mix.model_copy(update={"tokenizer": tokenizer})
        if mix is not None and weights is not None:
            mix = mix.model_copy(update={"weights": weights})
        if mix is not None and phases is not None:
            mix = mix.model_copy(update={"phases": phases})
        if mix is not None and swarm is not None:
            mix = mix.model_copy(update={"swarm": swarm})
        listed = {name: source for name, (source, _) in sources.items()}
        return Recipe(
            name=name,
            path=self.path,
            base=self.base,
            memory=settings.memory,
            batch_bytes=settings.batch_bytes,
            timeout=settings.timeout,
            max_doc_bytes=settings.max_doc_bytes,
            keep_dropped=settings.keep_dropped,
            salt=settings.salt,
            sources=listed,
            steps=[one.call for one in placed],
            written_steps=len(written.value) if (written := self.root.get("steps")) is not None else 0,
            index=settings.index,
            mix=mix,
            train=train,
            expect=settings.expect,
            warnings=[*warnings(listed.values(), placed), *self.warnings],
        )

    def _recipe_name(self, settings: Settings | None) -> str:
        if settings is None or settings.name is not None:
            return settings.name or "" if settings is not None else ""
        stem = self.path.stem
        if not re.fullmatch(r"[A-Za-z0-9._-]+", stem):
            self.faults.add(self.root.span, f"the file's name `{stem}` cannot name the run", "add `name:`")
        return stem

    # -- sources ---------------------------------------------------------------------------------------------------

    def _sources(self) -> dict[str, tuple[Source, Columns]]:
        node = self.root.get("sources")
        if node is None or not isinstance(node.value, dict):
            return {}
        found = {}
        for name, item in node.value.items():
            domain = item.get("domain")
            self.domains.append(domain.value if domain is not None and isinstance(domain.value, str) else name)
            source = self._source(name, item)
            if source is not None:
                found[name] = source
        self.domains = list(dict.fromkeys(self.domains))
        return found

    def _source(self, name: str, node: Node) -> tuple[Source, Columns] | None:
        what = f"the source `{name}`"
        if not isinstance(node.value, dict):
            self.faults.add(node.span, f"{what} should be a table with `read` and `path`, not {shown(node)}")
            return None
        read = node.get("read")
        step = None
        if read is not None and isinstance(read.value, str):
            step = find(read.value, ("source",), read.span, self.base, self.faults)
        keys, rest = _divided(node, step)
        settings = validated(SourceKeys.model_validate, SourceKeys, keys, self.faults, what)
        params = None if step is None else parameters(step, rest, what, self.base, self.faults)
        if step is None or settings is None or params is None:
            return None
        columns = guarded(lambda: step.output_columns(params), step, node.owner, self.faults)
        reference, paths = self._placed(node, settings)
        source = Source(
            name=name,
            read=reference,
            step=step,
            params=params,
            path=paths,
            domain=settings.domain or name,
            on_error=settings.on_error,
            line=node.owner.line + 1,
        )
        return source, columns or {}

    def _placed(self, node: Node, settings: SourceKeys) -> tuple[str, list[str]]:
        """Reference and paths; what another file than the recipe names starts from that file's folder."""
        path, read = node.value["path"], node.value["read"]
        items = path.value if isinstance(path.value, list) else [path]
        paths = [one.value if self._home(one) else absolute(one.value, one.span.document.base) for one in items]
        return placed_reference(settings.read, read.span, self.base), paths

    def _home(self, node: Node) -> bool:
        return node.span.document.base == self.base

    # -- mix, train, expect: checked in the tree, so that one wrong key hides no other ------------------------------

    def _at(self, *keys: str) -> Node | None:
        node, _, left = self.root.walk(keys)
        return None if left or node.value is None else node

    def _weights(self, node: Node | None, settings: Settings | None) -> dict[str, Any] | None:
        """Check `weights`, of the mixture or of a phase; a method is given back with all its parameters."""
        weights = None if node is None else node.plain()
        if node is None or not isinstance(weights, str | dict):
            return None
        if methods.as_method(weights) is not None:
            tokens = None if settings is None or settings.mix is None else settings.mix.tokens
            called = planted({"method": weights}, node.span) if isinstance(weights, str) else node
            values = mixing_method(called, tokens, self.base, self.faults)
            method = None if values is None else methods.resolve(values["method"], self.base)
            if values is not None and method is not None and method.learns:
                swarm = self._at("mix", "swarm")
                self.warnings += check_learning(node, values, method, swarm, self.domains, self.faults)
            return None if isinstance(weights, str) and weights in methods.builtin() else values
        self._table(node, weights)
        return None

    def _phases(self, settings: Settings | None) -> list[Phase] | None:
        """Check `phases` and the bounds; their methods are given back with all their parameters."""
        node, above, weights = self._at("mix", "phases"), self._at("mix"), self._at("mix", "weights")
        mix = None if settings is None else settings.mix
        if node is not None and weights is not None:
            self.faults.add(weights.owner, "`weights` and `phases` exclude each other", "give each phase its `weights`")
        items = node.value if node is not None and isinstance(node.value, list) else []
        found = [self._weights(item.get("weights"), settings) for item in items]
        if node is not None and mix is not None and mix.phases is not None:
            check_phases(node, mix, self.faults)
        if above is not None and mix is not None:
            check_bounds(above, mix, self.domains, self.faults)
        if mix is None or mix.phases is None:
            return None
        pairs = zip(mix.phases, found, strict=True)
        return [one if new is None else one.model_copy(update={"weights": new}) for one, new in pairs]

    def _swarm(self, settings: Settings | None, *, held_out: bool) -> Swarm | None:
        """The proxy runs, their table's path made absolute."""
        node = self._at("mix", "swarm")
        if node is None or settings is None or settings.mix is None or settings.mix.swarm is None:
            return None
        self._preset(node.get("model"))
        return check_swarm(node, settings.mix, self.domains, self.faults, held_out=held_out)

    def _table(self, node: Node, weights: str | dict[str, Any]) -> None:
        unknown = [name for name in weights if name not in self.domains] if isinstance(weights, dict) else []
        for name in unknown:
            hint = did_you_mean(name, self.domains) or f"domains: {', '.join(self.domains)}"
            self.faults.add(node.keys[name], f"unknown domain `{name}`", hint)
        if isinstance(weights, dict) and (unknown or not all(_is_share(value) for value in weights.values())):
            return
        try:
            check_weights(weights, self.domains)
        except UsageError as error:
            self.faults.add(node.span, error.message, error.hint)

    def _tokenizer(self) -> File | None:
        """A local tokenizer; what looks like no path is a name on the hub."""
        node = self._at("mix", "tokenizer")
        if node is None or not isinstance(node.value, str):
            return None
        path: Path = node.span.document.base / node.value
        for file in (path, path / "tokenizer.json"):
            if file.is_file():
                return File(file)
        if path.suffix in (".json", ".model", ".tiktoken") or node.value.startswith((".", "/")):
            beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
            self.faults.add(node.span, f"there is no tokenizer {path}", did_you_mean(path.name, beside))
        elif not re.fullmatch(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?", node.value):
            self.faults.add(node.span, f"`{node.value}` is no file and no name on the hub", "such as `org/name`")
        return None

    def _train(self, settings: Settings | None) -> None:
        node, model = self._at("train"), self._at("train", "model")
        if node is not None and self._at("mix") is None:
            self.faults.add(node.owner, "`train` needs a `mix`: it trains on shards", "add `mix:`, or remove `train`")
        mix, train = (None, None) if settings is None else (settings.mix, settings.train)
        self._trainer(model, train)
        if mix is None or train is None or mix.tokens == "max":
            return
        tokens = self._at("train", "tokens")
        assert tokens is not None
        if train.tokens - mix.tokens > (train.batch_tokens or train.tokens // 10):  # what the trainer makes up for
            reason = f"`train.tokens` {train.tokens:,} are more than the {mix.tokens:,} of `mix.tokens`"
            self.faults.add(tokens.span, reason, "the shards hold each token as often as it is to be seen: raise those")
        elif mix.phases is not None and train.tokens < mix.tokens:
            said = f"training ends after {train.tokens:,} of the {mix.tokens:,} tokens of `mix`"
            self.warnings.append(f"{tokens.span}: {said}: of `phases` it follows as much as that")

    def _foreign(self, train: Train | None) -> Train | None:
        """The training, with the place of the `config.json` of a model of transformers; a folder is that of one."""
        model = self._at("train", "model")
        if train is None or model is None or not str(train.model).startswith(FOREIGN):
            return train
        path: Path = model.span.document.base / Path(str(train.model).removeprefix(FOREIGN)).expanduser()
        path = path / "config.json" if path.is_dir() else path
        if not path.is_file():
            hint = "give a config.json, or the folder that holds it; names on the hub are not taken"
            self.faults.add(model.span, f"there is no {path}", hint)
        return train.model_copy(update={"model": f"{FOREIGN}{path}"})

    def _trainer(self, model: Node | None, train: Train | None) -> None:
        """What the trainer has to say: of all keys together, or, where some are wrong by themselves, of the model."""
        if train is None:
            self._preset(model)
        elif model is not None:
            self._refused(model, train.model_dump(exclude_none=True, exclude={"processes"}))

    def _preset(self, model: Node | None) -> None:
        """The name of a model of the trainer, alone; one of transformers needs more keys, and is not judged by it."""
        if model is not None and isinstance(model.value, str) and not model.value.startswith(FOREIGN):
            self._refused(model, {"model": model.value})

    def _refused(self, model: Node, given: dict[str, Any]) -> None:
        """What the trainer finds wrong with some keys, said of `model`."""
        from corpuskit.train import config

        try:
            config.from_dict(given | {"shards": "", "out": ""})
        except UsageError as error:
            self.faults.add(model.span, error.message.removeprefix("the training configuration is wrong: "))

    def _expect(self, rules: list[str] | None) -> None:
        node = self._at("expect")
        for item in node.value if node is not None and isinstance(node.value, list) else []:
            if isinstance(item.value, str):
                self._expectation(item, rules)

    def _expectation(self, node: Node, rules: list[str] | None) -> None:
        try:
            calls = parse_expect(node.value).calls
        except UsageError as error:
            self.faults.add(node.span, error.message, error.hint)
            return
        for function, name in calls:
            if function == "tokens" and self._at("mix") is None:
                self.faults.add(node.span, "tokens() needs a `mix`: without one nothing is tokenized", "expect bytes()")
            valid, what = (rules, "rule") if function == "drop_rate" else (self.domains, "domain")
            if valid is not None and name not in valid and not (what == "rule" and name.startswith("read: ")):
                hint = did_you_mean(name, valid) or f"{what}s: {', '.join(valid[:8]) or 'none'}"
                self.faults.add(node.span, f"unknown {what} `{name}`", hint)


def _divided(node: Node, step: Step | None) -> tuple[Node, Node]:
    """A source's own keys, and its reader's; a key that is neither goes where a similar one is missing."""
    own = keys_of(SourceKeys, ())
    reader = {name.rstrip("_") for name in step.parameters} if step is not None else set()
    absent = [key for key in own if key not in node.value]

    def meant(key: str) -> bool:
        near = did_you_mean(key, absent)
        return near is not None and near == did_you_mean(key, [*absent, *reader])

    mine = {key: item for key, item in node.value.items() if key in own or (key not in reader and meant(key))}
    rest = {key: item for key, item in node.value.items() if key not in mine}
    return Node(mine, node.span, node.owner, node.keys), Node(rest, node.span, node.owner, node.keys)


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
