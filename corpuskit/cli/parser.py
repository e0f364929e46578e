"""The command line: verbs and their options. A verb is imported when it is asked for: `--help` answers at once."""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from corpuskit.errors import CorpuskitError, UsageError, did_you_mean


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 ok, 1 units failed, 2 usage, 3 an expect failed, 128 + signal)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser, verbs = _parser()
    first = next((word for word in given if not word.startswith("-")), None)
    try:
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
        code: int = getattr(importlib.import_module(verbs[first]), first)(options) or 0
    except CorpuskitError as error:
        said = {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}
        text = json.dumps(said) if "--json" in given else f"error: {error}"
        _say(text)
        return error.exit_code
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()
            return 128 + signal.SIGPIPE
        where = f"{error.filename}: " if error.filename else ""
        _say(f"error: {where}{error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        print("interrupted; what is committed stays: run the same command again to go on", file=sys.stderr)
        return 128 + signal.SIGINT
    return code


def _say(text: str) -> None:
    from corpuskit.buckets.secrets import without_secrets

    print(without_secrets(text), file=sys.stderr)


def _terminated(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _parser() -> tuple[argparse.ArgumentParser, dict[str, str]]:
    parser = argparse.ArgumentParser("corpuskit", description="Builds pre-training corpora from one recipe.")
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(metavar="VERB")
    verbs: dict[str, str] = {}

    def verb(name: str, file: str, text: str) -> argparse.ArgumentParser:
        verbs[name] = f"corpuskit.cli.{file}"
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument("--json", action="store_true", help="print JSON for programs")
        return made

    def recipe(command: argparse.ArgumentParser) -> None:
        command.add_argument("recipe", type=Path, metavar="RECIPE")
        changed(command)

    def changed(command: argparse.ArgumentParser) -> None:
        command.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE|KEY=@FILE",
            help="change the recipe: mix.tokens=2M, steps.minhash.threshold=0.9 or sources.web.path=FILE, say",
        )

    def rooted(command: argparse.ArgumentParser) -> None:
        command.add_argument("--root", metavar="DIR|URL", help="or s3://bucket/prefix; default: runs/<recipe name>")

    def detailed(command: argparse.ArgumentParser) -> None:
        command.add_argument("--verbose", action="store_true", help="a line a stage, not one for all sources together")

    command = verb("init", "starting", "write a recipe to start from, with comments")
    command.add_argument(
        "directory",
        type=Path,
        nargs="?",
        default=Path(),
        metavar="DIR",
        help="`my-corpus`, say; default: the current one",
    )
    command.add_argument(
        "--template",
        nargs="+",
        default=["starter"],
        metavar="NAME",
        help="quickstart, web, slimpajama, code, `language XX`, or another recipe that comes with corpuskit",
    )
    recipe(verb("check", "building", "validate a recipe; errors point at the line"))
    command = verb("peek", "building", "one document through every step, with values and reasons")
    recipe(command)
    command.add_argument(
        "document",
        metavar="FILE[#row]",
        help="raw/web/a.jsonl#7, say: its eighth record; without #row: the first document",
    )
    command.add_argument(
        "--raw", action="store_true", help="the raw record, and the whole text that the reader made of it"
    )
    command = verb("plan", "building", "stages, units, what would run and why, memory, disk, expected recall")
    recipe(command)
    rooted(command)
    command.add_argument("--sample", type=float, metavar="SHARE", help="as for run")
    detailed(command)
    command = verb("run", "building", "run what has no receipt, then seal")
    recipe(command)
    rooted(command)
    command.add_argument(
        "--engine", default="local", help="local (default), inline, ray or slurm: see docs/clusters.md"
    )
    command.add_argument("--workers", type=int, metavar="N", help="units at once; default: one a core")
    command.add_argument(
        "--until", metavar="STAGE", help="stop after this stage: tokens, shards or filter-web, say; plan lists them"
    )
    command.add_argument("--sample", type=float, metavar="SHARE", help="try the recipe on this share of the units")
    command.add_argument("--unit", metavar="STAGE:N", help="run one unit in this process")
    command.add_argument("--pdb", action="store_true", help="with --unit: open the debugger where it fails")
    command = verb("status", "looking", "progress of a run, from its receipts")
    command.add_argument("root", metavar="ROOT")
    detailed(command)
    command = verb("stats", "looking", "the domain table; SQL over the corpus; what another threshold would change")
    command.add_argument("root", metavar="ROOT")
    asked = command.add_mutually_exclusive_group()
    asked.add_argument("--sql", metavar="QUERY", help="DuckDB SQL over the views of the run, sandboxed")
    asked.add_argument(
        "--what-if", metavar="RULE=EXPR", help="what another expression of a rule would change; nothing is run"
    )
    command = verb("find", "looking", "where a passage stands in the corpus, and which spans of a text do")
    command.add_argument("root", metavar="ROOT")
    command.add_argument("text", nargs="?", metavar="TEXT", help="a passage, found as it stands, byte for byte")
    command.add_argument("--file", type=Path, metavar="FILE", help="find the longest spans of this text instead")
    command.add_argument("--min", type=int, default=50, metavar="N", help="--file: characters of a span; default: 50")
    command = verb("trace", "looking", "a document's life and where it went: its steps, shards and training steps")
    command.add_argument("root", metavar="ROOT")
    command.add_argument(
        "what", metavar="WHAT", help="an id (`doc`), raw/web/a.jsonl#7, shards/train-00000.bin:4096 or step:100, say"
    )
    command = verb("diff", "looking", "two builds: what is different in recipe, documents, tokens and duplicates")
    command.add_argument("root_a", metavar="ROOT_A")
    command.add_argument("root_b", metavar="ROOT_B")
    command = verb("report", "looking", "write the report of a run: one self-contained HTML page")
    command.add_argument("root", metavar="ROOT")
    command = verb(
        "explore", "looking", "look at a run in the browser: documents, duplicates, thresholds, SQL, progress"
    )
    command.add_argument("root", metavar="ROOT")
    command.add_argument("--port", type=int, default=0, metavar="N", help="of this machine; default: one that is free")
    command.add_argument("--no-browser", action="store_true", help="print the address and open nothing")
    command = verb("verify", "verifying", "check every digest; names what is damaged and the command that mends it")
    command.add_argument("root", metavar="ROOT")
    command.add_argument("--repair", action="store_true", help="remove what is damaged: the next run makes it again")
    command = verb("export", "exporting", "write a run, or a model that it trained, in the format of another tool")
    command.add_argument("root", metavar="ROOT|CHECKPOINT")
    command.add_argument(
        "--format",
        required=True,
        metavar="FORMAT",
        help="tokens: megatron, datatrove, olmo; mixed shards: nanogpt, mds; corpus: hf, webdataset; checkpoint: hf",
    )
    command.add_argument(
        "--to", type=Path, required=True, metavar="DIR", help="a folder that is not there, or is empty"
    )
    command = verb("compare", "exporting", "two runs' losses per domain, with bootstrap intervals of the difference")
    command.add_argument("runs", type=Path, nargs=2, metavar="ROOT|CHECKPOINT")
    command.add_argument("--plot", type=Path, metavar="SVG", help="draw the differences and their intervals")
    command = verb("generate", "exporting", "let a trained model go on with a text, for a look")
    command.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="step-N, or the folder that holds them")
    command.add_argument("prompt", metavar="TEXT")
    command.add_argument("--tokens", type=int, default=64, metavar="N", help="default: 64")
    command.add_argument("--temperature", type=float, default=0.8, metavar="T", help="0: the likeliest; default: 0.8")
    command.add_argument("--seed", type=int, default=0, metavar="N")
    command.add_argument("--tokenizer", type=Path, metavar="FILE", help="default: that of the run it lies in")
    command = verb(
        "remove", "keeping", "take documents down: out of all texts, tokens and shards of a run, and for good"
    )
    command.add_argument("root", metavar="ROOT")
    command.add_argument(
        "--docs",
        type=Path,
        metavar="FILE",
        help="ids or FILE#RECORD, one a line, `#` begins a comment; left out: go on",
    )
    command.add_argument("--only", action="store_true", help="leave the copies of them that `duplicates/` lists")
    command.add_argument("--dry-run", action="store_true", help="say what would go, and which checkpoints saw it")
    command = verb("gc", "keeping", "remove what the recipe of a run no longer needs; says first what is lost with it")
    command.add_argument("root", metavar="ROOT", help="or s3://bucket/prefix")
    only = command.add_mutually_exclusive_group()
    only.add_argument("--dry-run", action="store_true", help="remove nothing, which is the default")
    only.add_argument("--yes", action="store_true", help="remove it")
    command = verb(
        "mix",
        "mixing",
        "solve: the weights of a recipe; explain: shares, epochs, caps, what repeats are worth; "
        "swarm: mixtures for proxy runs; fit: laws of mixing on their losses; doremi: rounds of it, until the weights "
        "settle; ablate: held-out losses of a mixture, by models of its domains",
    )
    command.add_argument("what", metavar="solve|explain|swarm|fit|doremi|ablate")
    command.add_argument("inputs", type=Path, nargs="+", metavar="RECIPE", help="fit also takes RATIOS.csv METRICS.csv")
    changed(command)
    rooted(command)
    command.add_argument("--sizes", type=Path, metavar="CSV", help="domain,tokens in place of a corpus; not for fit")
    command.add_argument("--plot", type=Path, metavar="SVG", help="explain: draw shares, sizes, targets and caps")
    command.add_argument("--output", type=Path, metavar="CSV", help="swarm: write here, not to ROOT/ratios.csv")
    command.add_argument("--law", action="append", default=[], help="fit: loglinear, lightgbm or linear; default: all")
    command.add_argument("--metric", action="append", default=[], help="fit: a column of metrics.csv; default: all")
    command = verb("lm", "language_models", "train: estimate an n-gram model (Kneser-Ney) for `perplexity`")
    command.add_argument("what", metavar="train")
    command.add_argument(
        "texts", type=Path, nargs="+", metavar="TEXTS", help=".txt, .jsonl, compressed too; .parquet, or a folder of it"
    )
    command.add_argument(
        "-o", "--output", type=Path, required=True, metavar="MODEL",
        help="where to write the model, as ARPA; NAME.binary: as a kenlm binary, which processes share",
    )  # fmt: skip
    command.add_argument("--order", type=int, default=5, metavar="N", help="words of the longest n-grams; default: 5")
    command.add_argument(
        "--prune", default="", metavar="COUNTS", help='leave out n-grams of so many, by order from 1 on: "0 0 1"'
    )
    command.add_argument("--memory", default="2GiB", metavar="BYTES", help="beside the words; default: 2GiB")
    command.add_argument("--lowercase", action="store_true", help="of the lower-cased text, as `perplexity` scores it")
    command.add_argument(
        "--tokenizer", type=Path, metavar="MODEL", help="of pieces of this SentencePiece model, normalized as by CCNet"
    )
    command.add_argument("--discount-fallback", action="store_true", help="discounts for too little text")
    command.add_argument("--no-interpolate-unigrams", action="store_true", help="give `<unk>` all that words leave")
    command = verb("train", "building", "train on the shards of a recipe or of a finished run")
    command.add_argument("recipe", metavar="RECIPE|ROOT")
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="train.tokens=2M, say")
    rooted(command)
    verb("schema", "starting", "print the JSON Schema of a recipe, for editors")
    verb("completion", "starting", 'print a script for bash and zsh that completes: eval "$(corpuskit completion)"')
    parser.set_defaults(version=False)
    return parser, verbs


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each verb."""
    parser, _ = _parser()
    (commands,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))  # noqa: SLF001
    return dict(commands.choices)
