"""Methods that act while training: what they are given is what the batches held, and resume gives the same bits."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from small_shards import write_shards  # noqa: E402
from test_train_run import assert_close, assert_same_bits, given, records, result, run, stopped_at_half  # noqa: E402

from corpuskit.errors import UsageError  # noqa: E402
from corpuskit.loops.policies import POLICIES, resolved  # noqa: E402
from corpuskit.mix.policies import GroupDRO, Statistics, uniform  # noqa: E402
from corpuskit.train.data import IGNORE, Shards  # noqa: E402
from corpuskit.train.hooks import eslm  # noqa: E402
from corpuskit.train.launch import launch  # noqa: E402
from corpuskit.train.online import Meta, domains_of  # noqa: E402


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Shards of two domains, web three times as large as books, and as hard again."""
    folder = write_shards(tmp_path_factory.mktemp("mixed"), files=(20, 13))
    for path in folder.glob("train-*.docs.parquet"):
        table = pq.read_table(path)
        names = np.where(table["sequence"].to_numpy() % 4 == 0, "books", "web")
        table = table.set_column(table.schema.get_field_index("domain"), "domain", pa.array(names.tolist()))
        pq.write_table(table, path)
    return folder


@pytest.fixture(scope="module")
def reference(mixed, tmp_path_factory):
    return run(mixed, tmp_path_factory.mktemp("reference"))


def config(name, reference):
    more = {
        "doremi": {"reference": str(reference)},
        "doge": {"mu": 0.1, "every": 3},
        "skill_it": {"eta": 0.5, "every": 3},
        "aioli": {"every": 1, "stretches": 2},
        "ado": {"start": 4, "every": 1},
    }
    return resolved({"policy": {"name": name, **more[name]}})


def drawn(out):
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [record["sequences"] for record in lines if "domain" not in record]


@pytest.mark.parametrize("name", POLICIES)
def test_each_policy_trains_resumes_to_the_same_bits_and_ends_in_a_mixture(name, mixed, reference, tmp_path):
    out = run(mixed, tmp_path / "out", **config(name, reference))
    found = result(out)["mixture"]
    assert set(found) == {"books", "web"}
    assert sum(found.values()) == pytest.approx(1)
    again = run(mixed, stopped_at_half(out, tmp_path / "again"), **config(name, reference))
    assert_same_bits(out, again)
    assert drawn(again) == drawn(out)
    assert result(again)["mixture"] == found


def test_two_processes_draw_and_learn_the_same_as_one(mixed, reference, tmp_path):
    one = run(mixed, tmp_path / "one", **config("doremi", reference))
    launch(given(mixed, tmp_path / "two", **config("doremi", reference)), 2)
    assert drawn(tmp_path / "two") == drawn(one)
    assert_close(one, tmp_path / "two")
    assert result(tmp_path / "two")["mixture"] == pytest.approx(result(one)["mixture"], rel=1e-5)


def test_doremi_draws_evenly_and_learns_from_the_excess_of_each_token(mixed, reference, tmp_path):
    out = run(mixed, tmp_path / "out", tokens=32 * 4, **config("doremi", reference))
    _, of = domains_of(Shards(mixed, "document").train[0])
    (first,) = drawn(out)
    assert sorted(of[first].tolist()) == [0, 0, 1, 1]
    # by hand: both models on that batch; the proxy's are its initial values
    from corpuskit.train.config import from_dict
    from corpuskit.train.parallel import sharded_model, world
    from corpuskit.train.trained import Trained

    batch = Shards(mixed, "document").train[0].batch(first, 4)
    settings = from_dict(given(mixed, tmp_path / "x"))
    with world(settings) as group:
        ours = sharded_model(settings, 97, group)(batch, each=True)
    excess = (ours - Trained.open(reference).build()(batch, each=True)).clamp(min=0)
    valid = batch.targets != IGNORE
    scores = {
        name: (excess[of[first] == n].sum() / valid[of[first] == n].sum()).item()
        for n, name in enumerate(("books", "web"))
    }
    policy = GroupDRO(uniform(scores))
    policy.observe(0, {name: Statistics(excess=score) for name, score in scores.items()})
    assert result(out)["mixture"] == pytest.approx(dict(policy.result.weights), rel=1e-6)


def test_eslm_keeps_what_is_at_or_above_the_value_at_risk():
    losses = torch.tensor([[0.1, 0.2, 0.5, 1, 2, 3, 0.05, 0.7, 1.5, 4, 9]])
    targets = torch.zeros(1, 11, dtype=torch.int64)
    targets[0, -1] = IGNORE
    weights = eslm(0.2)(losses, Meta(targets, targets, targets[:, 0]))
    assert (weights > 0).tolist() == [[True] * 6 + [False] + [True] * 3 + [False]]
    assert ((weights * losses)[targets != IGNORE].sum() / 10).item() == pytest.approx(1.444444, abs=1e-6)


def test_a_loss_hook_changes_what_is_learned_and_not_what_is_reported(mixed, reference, tmp_path):
    out = run(mixed, tmp_path / "out", **resolved({"loss_hook": {"name": "eslm", "alpha": 0.5}}))
    ours, plain = records(out), records(reference)
    assert ours[0][1] == pytest.approx(plain[0][1], rel=1e-6)
    assert ours[-1] != plain[-1]


def test_what_cannot_be_made_is_named(mixed, tmp_path):
    with pytest.raises(UsageError, match=r"no policy `doremy`\n.*did you mean `doremi`"):
        resolved({"policy": {"name": "doremy"}})
    with pytest.raises(UsageError, match="`reference` is missing"):
        run(mixed, tmp_path / "a", **resolved({"policy": {"name": "doremi"}}))
    with pytest.raises(UsageError, match=r"`corpuskit.train.hooks:eslm` cannot be made: .*alpa"):
        run(mixed, tmp_path / "b", **resolved({"loss_hook": {"name": "eslm", "alpa": 1}}))
