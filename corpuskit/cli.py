"""The command line: verbs only. Heavy imports stay inside the verbs, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from corpuskit.errors import CorpuskitError, ExpectFailed, UsageError, did_you_mean

if TYPE_CHECKING:
    from corpuskit.graph import Plan
    from corpuskit.recipe import Recipe

NOT_YET = ("trace", "diff", "explore", "lm", "export", "remove", "gc")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 ok, 1 units failed, 2 usage, 3 an expect failed, 128 + signal)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser, verbs = _parser()
    first = next((word for word in given if not word.startswith("-")), None)
    try:
        if first in NOT_YET:
            raise UsageError(f"`corpuskit {first}` is not in this version yet", "corpuskit --help lists what is")
        if first is not None and first not in verbs:
            raise UsageError(f"unknown verb `{first}`", did_you_mean(first, verbs) or f"verbs: {', '.join(verbs)}")
        options = parser.parse_args(given)
        if options.version:
            from importlib.metadata import version

            print(f"corpuskit {version('corpuskit')}")
            return 0
        if first is None:
            parser.print_help()
            return 0
        signal.signal(signal.SIGTERM, _terminated)  # so that worker processes are ended too
        code: int = verbs[first](options) or 0
    except CorpuskitError as error:
        said = {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}
        print(json.dumps(said) if "--json" in given else f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()
            return 128 + signal.SIGPIPE
        print(f"error: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what is committed stays: run the same command again to go on", file=sys.stderr)
        return 128 + signal.SIGINT
    return code


def _terminated(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _parser() -> tuple[argparse.ArgumentParser, dict[str, Callable[[argparse.Namespace], int | None]]]:
    parser = argparse.ArgumentParser("corpuskit", description="Builds pre-training corpora from one recipe.")
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(metavar="VERB")
    verbs: dict[str, Callable[[argparse.Namespace], int | None]] = {}

    def verb(name: str, function: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        verbs[name] = function
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument("--json", action="store_true", help="print JSON for programs")
        return made

    def recipe(command: argparse.ArgumentParser) -> None:
        command.add_argument("recipe", type=Path, metavar="RECIPE")
        changed(command)

    def changed(command: argparse.ArgumentParser) -> None:
        command.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE|KEY=@FILE", help="change the recipe"
        )

    def rooted(command: argparse.ArgumentParser) -> None:
        command.add_argument("--root", type=Path, metavar="DIR", help="default: runs/<recipe name>")

    init = verb("init", _init, "write a starter recipe with comments")
    init.add_argument("directory", type=Path, nargs="?", default=Path(), metavar="DIR")
    recipe(verb("check", _check, "validate a recipe; errors point at the line"))
    command = verb("peek", _peek, "one document through every step, with values and reasons")
    recipe(command)
    command.add_argument("document", metavar="FILE[#row]")
    command = verb("plan", _plan, "stages, units, what would run and why, memory, disk, expected recall")
    recipe(command)
    rooted(command)
    command.add_argument("--sample", type=float, metavar="SHARE", help="as for run")
    command = verb("run", _run, "run what has no receipt, then seal")
    recipe(command)
    rooted(command)
    command.add_argument("--engine", default="local", help="local (default) or inline")
    command.add_argument("--workers", type=int, metavar="N", help="processes of the local engine; default: one a core")
    command.add_argument("--until", metavar="STAGE", help="stop after this stage")
    command.add_argument("--sample", type=float, metavar="SHARE", help="try the recipe on this share of the units")
    command.add_argument("--unit", metavar="STAGE:N", help="run one unit in this process")
    command.add_argument("--pdb", action="store_true", help="with --unit: open the debugger where it fails")
    verb("status", _status, "progress of a run, from its receipts").add_argument("root", type=Path, metavar="ROOT")
    command = verb("stats", _stats, "the domain table; SQL over the corpus")
    command.add_argument("root", type=Path, metavar="ROOT")
    command.add_argument("--sql", metavar="QUERY", help="DuckDB SQL over the views of the run, sandboxed")
    command.add_argument("--what-if", metavar='RULE="EXPR"', help=argparse.SUPPRESS)
    command = verb("report", _report, "write the report of a run: one self-contained HTML page")
    command.add_argument("root", type=Path, metavar="ROOT")
    command = verb(
        "mix",
        _mix,
        "solve: the weights of a recipe; explain: shares, epochs, caps, what repeats are worth; "
        "swarm: mixtures for proxy runs; fit: laws of mixing on their losses",
    )
    command.add_argument("what", metavar="solve|explain|swarm|fit")
    command.add_argument("inputs", type=Path, nargs="+", metavar="RECIPE", help="fit also takes RATIOS.csv METRICS.csv")
    changed(command)
    rooted(command)
    command.add_argument("--sizes", type=Path, metavar="CSV", help="domain,tokens in place of a corpus; not for fit")
    command.add_argument("--plot", type=Path, metavar="SVG", help="explain: draw shares, sizes, targets and caps")
    command.add_argument("--output", type=Path, metavar="CSV", help="swarm: write here, not to ROOT/ratios.csv")
    command.add_argument("--law", action="append", default=[], help="fit: loglinear, lightgbm or linear; default: all")
    command.add_argument("--metric", action="append", default=[], help="fit: a column of metrics.csv; default: all")
    command = verb("train", _train, "train on the shards of a recipe or of a finished run")
    command.add_argument("recipe", type=Path, metavar="RECIPE|ROOT")
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="train.tokens=2M, say")
    rooted(command)
    parser.set_defaults(version=False)
    return parser, verbs


# -- verbs ---------------------------------------------------------------------------------------------------------


def _load(options: argparse.Namespace) -> Recipe:
    import sysconfig

    from corpuskit.recipe import load

    # the folder of this environment's packages: text that every machine has; recipes/quickstart.yaml reads it
    os.environ.setdefault("SITE_PACKAGES", sysconfig.get_path("purelib"))
    recipe = load(options.recipe, options.set)
    for warning in recipe.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return recipe


def _root(options: argparse.Namespace, recipe: Recipe) -> Path:
    if options.root is not None:
        return Path(options.root)
    sample = getattr(options, "sample", None)
    return Path("runs") / (recipe.name if sample is None else f"{recipe.name}-sample-{sample:g}")


def _print(options: argparse.Namespace, text: str, data: Any) -> None:
    print(json.dumps(data, indent=1, default=str) if options.json else text)


def _init(options: argparse.Namespace) -> None:
    from importlib.resources import files

    target = options.directory / "recipe.yaml"
    if target.exists():
        raise UsageError(f"{target} is there already", "name another folder: corpuskit init DIR")
    options.directory.mkdir(parents=True, exist_ok=True)
    target.write_text((files("corpuskit") / "recipe_template.yaml").read_text())
    _print(options, f"wrote {target}; set its path, then: corpuskit check {target}", {"recipe": str(target)})


def _check(options: argparse.Namespace) -> None:
    recipe = _load(options)
    check_runnable(recipe)
    steps = [call.name for call in recipe.steps]
    found = {"recipe": recipe.name, "sources": list(recipe.sources), "steps": steps, "warnings": recipe.warnings}
    _print(options, f"{options.recipe}: ok ({len(recipe.sources)} sources, {len(steps)} steps)", found)


def check_runnable(recipe: Recipe) -> None:
    """Refuse at once what would fail hours later.

    Raises:
        UsageError: the recipe trains a model, and torch is not installed.
    """
    trains = "train:" if recipe.train is not None else "swarm:" if recipe.mix and recipe.mix.swarm else None
    if trains is not None:
        from importlib.util import find_spec

        if find_spec("torch") is None:
            raise UsageError(f"`{trains}` needs torch, which is not installed", "pip install 'corpuskit[train]'")


def _peek(options: argparse.Namespace) -> None:
    from corpuskit.peek import peek

    text = peek(_load(options), options.document)
    _print(options, text, {"document": options.document, "lines": text.splitlines()})


def _plan(options: argparse.Namespace) -> None:
    from corpuskit.announce import announce
    from corpuskit.plan import make
    from corpuskit.store import Root

    recipe = _load(options)
    text, data = announce(make(recipe, sample=options.sample), Root(_root(options, recipe)))
    _print(options, text, data)


def _run(options: argparse.Namespace) -> int:
    from corpuskit.engine import check_engine
    from corpuskit.plan import make
    from corpuskit.run import failure_report, run
    from corpuskit.store import Root

    recipe = _load(options)
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
    root = Root(_root(options, recipe))
    if options.until is not None:
        plan.until(options.until)
    if options.pdb and options.unit is None:
        raise UsageError("--pdb needs --unit STAGE:N", "corpuskit plan lists the stages")
    if options.unit is not None:
        root.refuse_other(root.latest_plan(), plan)
        return _one_unit(options, plan, root)
    folder = root.new_run(recipe.path.read_text(), _yaml(recipe), plan)
    outcome = run(
        plan,
        root,
        folder,
        engine=options.engine,
        workers=options.workers,
        until=options.until,
        report=lambda line: print(line, file=sys.stderr, flush=True),
    )
    summary = {
        "root": str(root.path),
        "units_run": outcome.ran,
        "units_reused": outcome.reused,
        "units_complete_before": outcome.complete,
        "other_versions": outcome.other_versions,
    }
    if outcome.failures:
        raise failure_report(outcome, plan, str(options.recipe), _options(options))
    if options.until is None:
        _finish(options, plan, root, folder, summary)
    failed = _failed_expects(plan, root) if options.until is None else []
    summary["failed_expects"] = failed
    reused = f"{outcome.reused} took over what an earlier one gave, " if outcome.reused else ""
    said = f"{outcome.ran} units run, {reused}{outcome.complete} were complete; root: {root.path}"
    _print(options, said, summary)
    if failed:
        raise ExpectFailed("does not hold: " + "; ".join(failed), f"corpuskit stats {root.path} shows the figures")
    return 0


def _finish(options: argparse.Namespace, plan: Plan, root: Any, folder: Path, summary: dict[str, Any]) -> None:
    from corpuskit import report, stats

    page = report.write(root, plan, folder)
    found = stats.domain_table(root, plan)
    summary |= {"report": str(page), "domains": stats.as_json(found)}
    if not options.json:
        print(stats.render(root, plan))
        print(f"report: {page}")


def _failed_expects(plan: Plan, root: Any) -> list[str]:
    from corpuskit import stats
    from corpuskit.recipe import parse_expect

    functions = stats.functions(root, plan)
    return [text for text in plan.expect if not parse_expect(text).evaluate(functions)]


def _one_unit(options: argparse.Namespace, plan: Plan, root: Any) -> int:
    from corpuskit.engine import Task
    from corpuskit.run import execute

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
    _print(options, f"{options.unit} is complete", {"unit": options.unit, "complete": True})
    return 0


def _options(options: argparse.Namespace) -> str:
    import shlex

    said = [f" --set {shlex.quote(text)}" for text in options.set]
    if options.root is not None:
        said.append(f" --root {shlex.quote(str(options.root))}")
    if getattr(options, "sample", None) is not None:
        said.append(f" --sample {options.sample:g}")
    if getattr(options, "until", None) is not None:
        said.append(f" --until {options.until}")
    return "".join(said)


def _yaml(recipe: Recipe) -> str:
    import yaml

    text: str = yaml.safe_dump(recipe.resolved(), sort_keys=False, allow_unicode=True)
    return text


def _status(options: argparse.Namespace) -> None:
    from corpuskit import status
    from corpuskit.store import Root
    from corpuskit.views import rebuild

    root = Root(options.root)
    rebuild(root, root.require_plan())
    _print(options, status.render(root), status.as_json(root))


def _stats(options: argparse.Namespace) -> None:
    from corpuskit import stats
    from corpuskit.store import Root
    from corpuskit.tables import table
    from corpuskit.views import query, rebuild

    if options.what_if is not None:
        raise UsageError("`--what-if` is not in this version yet", "change the rule and run again: no scorer is called")
    root = Root(options.root)
    plan = root.require_plan()
    rebuild(root, plan)
    if options.sql is None:
        _print(options, stats.render(root, plan), stats.as_json(stats.domain_table(root, plan)))
        return
    found = query(root, options.sql)
    rows = found.to_pylist()
    text = table(found.column_names, [["" if v is None else str(v) for v in row.values()] for row in rows])
    _print(options, text, rows)


def _report(options: argparse.Namespace) -> None:
    from corpuskit import report
    from corpuskit.store import Root

    root = Root(options.root)
    plan = root.require_plan()
    page = report.write(root, plan, root.latest_run())
    _print(options, f"wrote {page}", {"report": str(page)})


MIX_OPTIONS = {
    "sizes": ("solve", "explain", "swarm"),
    "plot": ("explain",),
    "output": ("swarm",),
    "law": ("fit",),
    "metric": ("fit",),
}
"""Options of `mix`, and what they go with."""


def _mix(options: argparse.Namespace) -> None:
    from corpuskit.mix_verb import Asked, answer

    for name, verbs in MIX_OPTIONS.items():
        if getattr(options, name) and options.what not in verbs:
            raise UsageError(f"--{name} goes with mix {' or '.join(verbs)}, not with mix {options.what}")
    tables = options.what == "fit" and options.inputs[0].suffix == ".csv"
    if len(options.inputs) > 1 and not tables:
        raise UsageError(f"mix {options.what} takes one recipe, not {len(options.inputs)}", "corpuskit mix --help")
    options.recipe = options.inputs[0]
    recipe = None if tables else _load(options)
    asked = Asked(
        recipe=recipe,
        root=None if recipe is None else _root(options, recipe),
        command=f"{options.recipe}{_options(options)}",
        tables=options.inputs if tables else (),
        sizes=options.sizes,
        output=options.output,
        plot=options.plot,
        laws=options.law,
        metrics=options.metric,
    )
    _print(options, *answer(options.what, asked))


def _train(options: argparse.Namespace) -> int:
    options.until = "train"
    for name, value in {"engine": "local", "workers": None, "sample": None, "unit": None, "pdb": False}.items():
        setattr(options, name, value)
    if not options.recipe.is_dir():
        if _load(options).train is None:
            raise UsageError(
                f"{options.recipe} has no `train:`",
                f"corpuskit train {options.recipe} --set train.model=1M --set train.tokens=2M",
            )
        return _run(options)
    from corpuskit.run import run
    from corpuskit.store import Root

    root = Root(options.recipe)
    plan = root.require_plan()
    if "train" not in plan.stages or options.set:
        raise UsageError(
            f"the last run in {root.path} " + ("cannot be changed here" if options.set else "has no `train`"),
            f"corpuskit train RECIPE --root {root.path} --set train.model=1M --set train.tokens=2M",
        )
    outcome = run(plan, root, root.latest_run(), until="train", report=lambda line: print(line, file=sys.stderr))
    if outcome.failures:
        raise UsageError(outcome.failures[0][1].message, f"try again: corpuskit train {root.path}")
    result = root.receipts(plan.stages["train"])[0].facts["result"]
    _print(options, json.dumps(result, indent=1), result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
