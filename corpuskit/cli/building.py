"""The verbs that build: check, peek, plan, run, train."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpuskit.cli.options import answer, load_recipe, repeated, root_of
from corpuskit.cli.progress import progress
from corpuskit.errors import CorpuskitError, DamagedFile, ExpectFailed, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from corpuskit.core.plan import Plan
    from corpuskit.recipe import Recipe
    from corpuskit.run import Outcome
    from corpuskit.store.root import Root


def check(options: argparse.Namespace) -> None:
    """Validate a recipe, and refuse at once what would fail hours later."""
    from corpuskit.core.tables import counted

    recipe = load_recipe(options)
    check_runnable(recipe)
    missing = list(_without_files(recipe))
    for warning in missing:
        print(f"warning: {warning}", file=sys.stderr)
    steps, warnings = [call.name for call in recipe.steps], [*recipe.warnings, *missing]
    found = {"recipe": recipe.name, "sources": list(recipe.sources), "steps": steps, "warnings": warnings}
    said = f"{counted(len(recipe.sources), 'source')}, {counted(recipe.written_steps, 'step')}"
    if len(steps) > recipe.written_steps:
        said += f"; {len(steps)} steps with those that presets and `mix` stand for"
    answer(options, f"{options.recipe}: ok ({said})", found)


def _without_files(recipe: Recipe) -> Iterator[str]:
    """Sources of which no file is on this machine; what lies in stores is not asked for."""
    from corpuskit.sources.listing import require_files

    for source in recipe.sources.values():
        try:
            require_files(source.path, recipe.base)
        except UsageError as error:
            yield f"{recipe.path}:{source.line}: source `{source.name}`: {error.message}; {error.hint}"


def check_runnable(recipe: Recipe) -> None:
    """Refuse at once what would fail hours later.

    Raises:
        UsageError: the recipe trains a model, and torch is not installed; or its tokenizer is a file that is none.
    """
    if recipe.mix is not None and isinstance(recipe.mix.tokenizer, str):
        from corpuskit.cli.foretold import check_tokenizer

        check_tokenizer(recipe.mix.tokenizer)
    trains = "train:" if recipe.train is not None else "swarm:" if recipe.mix and recipe.mix.swarm else None
    if trains is not None:
        from corpuskit.train.launch import need_torch

        need_torch(f"`{trains}`")


def peek(options: argparse.Namespace) -> None:
    """Show one document on its way through the steps."""
    from corpuskit.explore.peek import peek

    text = peek(load_recipe(options), options.document, raw=options.raw)
    answer(options, text, {"document": options.document, "lines": text.splitlines()})


def plan(options: argparse.Namespace) -> None:
    """Say what would run, and why."""
    from corpuskit.cli.announce import announce
    from corpuskit.cli.foretold import check_budget, encoder
    from corpuskit.plan.looking import look
    from corpuskit.plan.planner import make
    from corpuskit.store.root import Root

    recipe = load_recipe(options)
    check_runnable(recipe)
    made, root = make(recipe, sample=options.sample), Root(root_of(options, recipe))
    text, data = announce(made, root, look(recipe, made), verbose=options.verbose)
    if recipe.mix is not None:
        slow = encoder(recipe.mix, made, root)
        data["encoder"] = {"name": "tokenizers" if slow else "gigatoken", "why": slow}
        text += f"\ntokens: `tokenizers` encodes, about fifty times slower than gigatoken: {slow}" * bool(slow)
        check_budget(recipe.mix, made, root)
    answer(options, text, data)


def run(options: argparse.Namespace) -> int:
    """Run what has no receipt, then print the outcome."""
    from corpuskit.core.tables import counted
    from corpuskit.engines import check_engine
    from corpuskit.explore.opened import as_yaml, failed_expects
    from corpuskit.explore.views import rebuild
    from corpuskit.plan.planner import make
    from corpuskit.run import failure_report
    from corpuskit.run import run as run_plan
    from corpuskit.store.root import Root

    recipe = load_recipe(options)
    check_runnable(recipe)
    check_engine(options.engine, options.workers)
    if options.sample is not None:
        if not 0 < options.sample <= 1:
            raise UsageError(f"--sample {options.sample:g}: a share lies between 0 and 1", "--sample 0.01")
        print(
            f"warning: --sample {options.sample:g} takes whole units: duplicate rates will be too low", file=sys.stderr
        )
    plan = make(recipe, sample=options.sample)
    for warning in plan.warnings[len(recipe.warnings) :]:
        print(f"warning: {warning}", file=sys.stderr)
    root = Root(root_of(options, recipe))
    wanted = plan.until(options.until) if options.until is not None else set(plan.stages)
    if recipe.mix is not None and "tokenizer" in wanted:
        from corpuskit.cli.foretold import encoder

        encoder(recipe.mix, plan, root)  # a name on the hub is refused now, and not hours later
    if options.pdb and options.unit is None:
        raise UsageError("--pdb needs --unit STAGE:N", "corpuskit plan lists the stages")
    if options.unit is not None:
        root.refuse_other(root.latest_plan(), plan)
        return _one_unit(options, plan, root)
    folder = root.new_run(recipe.path.read_text(), as_yaml(recipe), plan)
    with progress(sys.stderr) as report:
        outcome = run_plan(
            plan,
            root,
            folder,
            engine=options.engine,
            workers=options.workers,
            until=options.until,
            report=report,
        )
    summary = {
        "root": root.url,
        "units_run": outcome.ran,
        "units_reused": outcome.reused,
        "units_complete_before": outcome.complete,
        "other_versions": outcome.other_versions,
    }
    if outcome.failures:
        with contextlib.suppress(OSError):  # of a full disk, say, which then is why units failed
            rebuild(root, plan)
        raise failure_report(outcome, plan, f"{root.url}/{folder}/log.jsonl", str(options.recipe), repeated(options))
    if options.until is None:
        summary["report"] = _report(plan, root, folder, outcome)
        _finish(options, plan, root, summary)
    else:
        rebuild(root, plan)
    failed = failed_expects(plan, root) if options.until is None else []
    summary["failed_expects"] = failed
    reused = f"{outcome.reused} reused, " if outcome.reused else ""
    were = "was" if outcome.complete == 1 else "were"
    said = f"{counted(outcome.ran, 'unit')} run, {reused}{outcome.complete:,} {were} complete; root: {root.url}"
    answer(options, said, summary)
    if failed:
        raise ExpectFailed("does not hold: " + "; ".join(failed), f"corpuskit stats {root.url} shows the figures")
    return 0


def _report(plan: Plan, root: Root, folder: str, outcome: Outcome) -> str:
    """The report of a run: the last one, if nothing was done since that it would show, else a new one.

    Raises:
        CorpuskitError: none can be made, since a file is damaged.
    """
    from corpuskit.explore import report

    try:
        earlier = None if outcome.ran or outcome.reused else report.latest(root, plan, folder)
        return earlier or report.write(root, plan, folder)
    except DamagedFile as error:
        text = f"all units are complete, but no report can be made: {error.message}"
        raise CorpuskitError(text, error.hint) from None


def _finish(options: argparse.Namespace, plan: Plan, root: Root, summary: dict[str, Any]) -> None:
    from corpuskit.core.tables import wrapped
    from corpuskit.explore import stats, stats_text

    summary["domains"] = stats.as_json(stats.domain_table(root, plan))
    if not options.json:
        print(wrapped(stats_text.render(root, plan)))
        print(f"report: {summary['report']}")


def _one_unit(options: argparse.Namespace, plan: Plan, root: Any) -> int:
    from corpuskit.engines import Task
    from corpuskit.run.execute import execute

    name, _, number = options.unit.rpartition(":")
    if name not in plan.stages or not number.isdigit() or int(number) >= len(plan.stages[name].units):
        hint = did_you_mean(name, plan.stages) or f"stages: {', '.join(plan.stages)}"
        raise UsageError(f"--unit {options.unit}: there is no such unit", hint)
    for need in plan.stages[name].needs.values():
        if need.how == "all":
            root.receipts(plan.stages[need.stage])
        elif root.receipt(plan.stages[need.stage], int(number)) is None:
            raise UsageError(f"{options.unit} needs {need.stage}:{number}, which is not complete", "run that one first")
    try:
        execute(plan, root, Task(name, int(number)))
    except Exception as error:
        if not options.pdb:
            raise
        import pdb
        import traceback

        traceback.print_exc()
        first: BaseException = error
        while first.__cause__ is not None:
            first = first.__cause__
        pdb.post_mortem(first.__traceback__)
        return 1
    answer(options, f"{options.unit} is complete", {"unit": options.unit, "complete": True})
    return 0


def train(options: argparse.Namespace) -> int:
    """Train on the shards of a recipe or of the last run in a root."""
    options.until = "train"
    for name, value in {"engine": "local", "workers": None, "sample": None, "unit": None, "pdb": False}.items():
        setattr(options, name, value)
    if "://" not in options.recipe and not Path(options.recipe).is_dir():
        options.recipe = Path(options.recipe)
        if load_recipe(options).train is None:
            raise UsageError(
                f"{options.recipe} has no `train:`",
                f"corpuskit train {options.recipe} --set train.model=1M --set train.tokens=2M",
            )
        return run(options)
    from corpuskit.explore.views import rebuild
    from corpuskit.run import run as run_plan
    from corpuskit.store.root import Root

    root = Root(options.recipe)
    plan = root.require_plan()
    if "train" not in plan.stages or options.set:
        raise UsageError(
            f"the last run in {root.url} " + ("cannot be changed here" if options.set else "has no `train`"),
            f"corpuskit train RECIPE --root {root.url} --set train.model=1M --set train.tokens=2M",
        )
    with progress(sys.stderr) as report:
        outcome = run_plan(plan, root, root.latest_run(), until="train", report=report)
    rebuild(root, plan)
    if outcome.failures:
        raise UsageError(outcome.failures[0][1].message, f"try again: corpuskit train {root.url}")
    result = root.receipts(plan.stages["train"])[0].facts["result"]
    answer(options, json.dumps(result, indent=1), result)
    return 0
