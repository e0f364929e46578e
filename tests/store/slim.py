"""The SlimPajama recipe over seven small dumps, from a bucket into a bucket, and the same on a disk."""

import subprocess
from pathlib import Path

import yaml

from corpuskit.store.root import Root
from tests.core.kills import RUN
from tests.end_to_end import dumps
from tests.store import s3

RECIPE = Path(__file__).parents[2] / "recipes" / "slimpajama.yaml"
SMALL = ("mix.tokenizer={train: {vocab_size: 400}}", "mix.shards.seq_len=64", "expect=[]")
TRAIN = "train={model: {width: 32, layers: 2, heads: 2}, tokens: 4k, batch_tokens: 512, cache_bytes: 8000}"


class Built:
    """The recipe, built once from a bucket and once from a disk.

    Args:
        folder: to work in; TMPDIR is `tmp` in it. url: of the bucket, which is empty.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.said, self.root = folder, "", f"{url}/runs/slim"
        raw = dumps.write(folder / "raw")
        s3.upload(raw, f"{url}/raw")
        self.bucket = self._run(f"{url}/raw", self.root, "bucket")
        self.disk = self._run(str(raw), str(folder / "disk"), "disk", "--until", "shards")

    def _run(self, raw: str, root: str, name: str, *words: str) -> list[str]:
        sources = {
            domain: {"read": read, "path": [f"{raw}/{path}" for path in paths]}
            for domain, (read, paths) in dumps.FILES.items()
        }
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(sources))
        changed = [f"sources=@{self.folder / name}.yaml", *SMALL, TRAIN]
        given = [str(RECIPE), *(word for one in changed for word in ("--set", one)), "--root", root]
        done = subprocess.run([*RUN, *given, *words, "--engine", "inline"], capture_output=True, text=True, check=False)
        self.said += done.stdout + done.stderr
        assert done.returncode == 0, done.stderr
        return given

    def published(self, folder: str) -> list[list[tuple[str, str]]]:
        """Folder and digest of all that is published in a folder, in the bucket and on the disk.

        Of what a reader drops, files are named by the raw file's identity: ETag here, time there.
        """
        return [
            sorted((name.rpartition("/")[0], entry["sha256"]) for name, entry in root.manifest(folder)["files"].items())
            for root in (Root(self.root), Root(self.folder / "disk"))
        ]
