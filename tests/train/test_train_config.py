"""The configuration: checked in full, without torch; rate and batch by Step Law; refusals name what to set."""

import itertools
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuskit.errors import UsageError
from corpuskit.loops.settings import Train
from corpuskit.train import config as configuration
from corpuskit.train import launch as launcher
from corpuskit.train.shape import PRESETS

GIVEN = {"shards": "s", "out": "o"}


def test_reading_a_configuration_imports_no_torch():
    code = "import sys; import corpuskit.train.config, corpuskit.train.launch; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_problem_is_reported_at_once_with_the_nearest_name():
    with pytest.raises(UsageError) as raised:
        configuration.from_dict({"out": "o", "tokns": 5, "lr": -1, "mask": "dokument", "model": "2M", "seed": "x"})
    for part in (
        "did you mean `tokens`?",
        "`shards` is missing",
        "`lr` is -1",
        "dokument",
        "model `2M`",
        "`seed` is 'x'",
    ):
        assert part in str(raised.value)


def test_a_model_of_transformers_is_refused_what_only_our_own_have_and_asked_what_no_law_gives():
    with pytest.raises(UsageError) as raised:
        configuration.from_dict(GIVEN | {"model": "hf:config.json", "optimizer": "muon", "policy": {"name": "x"}})
    for part in ("`lr` is missing", "`batch_tokens` is missing", "`mask` must be `causal`", "`optimizer`", "`policy`"):
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("loggers", ["tensorbord"], "not a list of tensorboard, wandb"),
        ("async_save", 1, "not true or false"),
        ("policy", "doremi", "not {"),
        ("keep", 0, "not a positive number"),
        ("z_loss", -1.0, "not a number from 0 on"),
        ("weight_decay", float("nan"), "not a number from 0 on"),
        ("z_loss", float("inf"), "not a number from 0 on"),
        ("warmup", float("nan"), "not in"),
        ("optimizer", "sgd", "not one of adamw, muon"),
    ],
)
def test_each_choice_of_a_run_is_checked(key, value, said):
    with pytest.raises(UsageError, match=said):
        configuration.from_dict(GIVEN | {key: value})


def test_recomputation_is_checked_and_decides_nothing_about_what_is_trained():
    given = GIVEN | {"activation_checkpointing": "full"}
    assert configuration.from_dict(given).identity() == configuration.from_dict(GIVEN).identity()
    with pytest.raises(UsageError, match="`activation_checkpointing` is `all`, not one of selective, full"):
        configuration.from_dict(given | {"activation_checkpointing": "all"})


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"width": 30, "heads": 4}, "a width of 30 is not a multiple of 2 x 4 heads"),
        ({"width": 0}, "`model.width` is 0, not a positive whole number"),
        ({"kv_heads": 3}, "4 heads cannot share 3 `kv_heads` evenly"),
        ({"norm": "batch"}, "`model.norm` is 'batch', not one of rms, layer"),
        ({"bias": 1}, "`model.bias` is 1, not true or false"),
        ({"kvheads": 2}, "`model.kvheads` is unknown: did you mean `kv_heads`?"),
        ({"width_scale": 0}, "`model.width_scale` is 0, not a number above 0"),
    ],
)
def test_an_impossible_shape_is_refused(model, said):
    with pytest.raises(UsageError) as raised:
        configuration.from_dict(GIVEN | {"model": {"width": 64, "layers": 1, "heads": 4} | model})
    assert said in str(raised.value)


def test_broken_json_names_its_file_and_line(tmp_path):
    path = tmp_path / "c.json"
    path.write_text('{"shards":\n oops}')
    with pytest.raises(UsageError, match=r"c\.json: not JSON: .* line 2"):
        configuration.read(path)
    path.write_text(json.dumps({"shards": "s"}))
    with pytest.raises(UsageError, match=r"c\.json: .*`out` is missing"):
        configuration.read(path)


def test_step_law_is_used_where_it_was_fitted():
    config = configuration.from_dict(GIVEN | {"model": "410M", "tokens": 8_000_000_000})
    plan = configuration.budget(config, [(10**7, 2048)])
    n = PRESETS["410M"].non_embedding
    assert plan.lr == pytest.approx(1.79 * n**-0.713 * 8e9**0.307)
    assert plan.stretches[0].batch == round(0.58 * 8e9**0.571 / 2048)
    assert not any("clamped" in note for note in plan.notes)


def test_tiny_runs_are_clamped_and_say_so():
    plan = configuration.budget(configuration.from_dict(GIVEN | {"model": "1M", "tokens": 10**7}), [(10**5, 2048)])
    assert plan.lr == 1e-2
    assert "clamped" in " ".join(plan.notes)


@pytest.mark.parametrize(
    ("tokens", "sequences", "steps"), [(None, 100, 25), (3200, 100, 25), (3201, 100, 25), (3000, 94, 24)]
)
def test_all_sequences_asked_for_are_planned_and_a_surplus_below_a_batch_is_forgiven(tokens, sequences, steps):
    plan = configuration.budget(configuration.from_dict(GIVEN | {"tokens": tokens, "batch_tokens": 128}), [(100, 32)])
    assert ([stretch.sequences for stretch in plan.stretches], plan.steps) == ([sequences], steps)


def test_a_surplus_of_less_than_a_longest_sequence_is_forgiven_and_said():
    given = GIVEN | {"tokens": 3200 + 31, "batch_tokens": 8}
    plan = configuration.budget(configuration.from_dict(given), [(200, 8), (50, 32)])
    assert plan.tokens == 3200
    assert "tokens: 3,200 of the 3,231 asked for: the shards hold no more whole sequences" in plan.notes
    with pytest.raises(UsageError, match=r"3,232 were asked for.*hold 3,200"):
        configuration.budget(configuration.from_dict(given | {"tokens": 3232}), [(200, 8), (50, 32)])


def test_more_tokens_than_the_shards_hold_names_both_numbers():
    with pytest.raises(UsageError, match=r"5,000 were asked for.*hold 3,200") as raised:
        configuration.budget(configuration.from_dict(GIVEN | {"tokens": 5000, "batch_tokens": 128}), [(100, 32)])
    assert "3200 or less" in str(raised.value)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from([8, 16, 32])), min_size=1, max_size=4),
    st.integers(1, 200),
    st.none() | st.integers(1, 4000),
)
def test_the_steps_of_phases_read_each_sequence_once_in_order_and_as_many_tokens_each(phases, batch_tokens, tokens):
    available = sum(count * seq_len for count, seq_len in phases)
    tokens = None if tokens is None else min(tokens, available)
    config = configuration.from_dict(GIVEN | {"batch_tokens": batch_tokens, "tokens": tokens})
    plan = configuration.budget(config, phases)
    steps = [plan.step(number) for number in range(1, plan.steps + 1)]
    read = [(step.phase, sequence) for step in steps for sequence in step.sequences]
    everything = [(phase, sequence) for phase, (count, _) in enumerate(phases) for sequence in range(count)]
    assert read == everything[: len(read)]
    assert sum(phases[phase][1] for phase, _ in read) == plan.tokens == steps[-1].tokens
    assert plan.tokens - (tokens or available) in range(phases[steps[-1].phase][1])
    for before, step in itertools.pairwise(steps):
        length = phases[before.phase][1]
        assert before.tokens < step.tokens
        assert step.phase > before.phase or abs(len(before.sequences) * length - batch_tokens) <= length
    with pytest.raises(IndexError):
        plan.step(plan.steps + 1)


def test_a_step_has_about_the_same_tokens_in_each_phase():
    config = configuration.from_dict(GIVEN | {"batch_tokens": 1 << 16})
    plan = configuration.budget(config, [(10_000, 128), (1000, 3072)])
    assert [stretch.batch for stretch in plan.stretches] == [512, 21]
    assert "batch_tokens: 64,512, whole sequences nearest to 65,536" in plan.notes
    by_law = configuration.budget(configuration.from_dict(GIVEN), [(24_000, 128), (1000, 3072)])
    assert by_law.stretches[0].batch == 24 * by_law.stretches[1].batch


def test_a_run_that_does_not_reach_the_last_phase_says_so():
    config = configuration.from_dict(GIVEN | {"batch_tokens": 128, "tokens": 3200})
    plan = configuration.budget(config, [(150, 32), (50, 32)])
    assert [stretch.sequences for stretch in plan.stretches] == [100]
    assert "the run ends in phase 1 of 2" in plan.notes[-1]


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(launcher.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install '.\[train\]'"):
        launcher.launch(GIVEN, 1)


def test_a_compute_class_is_the_tokens_of_its_hours_and_what_is_none_is_refused():
    def tokens(given):
        return Train.model_validate({"model": "1M", "tokens": given}).tokens

    assert tokens({"languini": "6h", "tokens_per_second": "41k"}) == 6 * 3600 * 41_000
    assert tokens({"languini": "0.5h", "tokens_per_second": 3}) == 5400
    right = {"languini": "6h", "tokens_per_second": 5}
    for wrong in ({"languini": "6"}, {"tokens_per_second": 0}, {"tokens_per_second": "fast"}, {"hours": 6}):
        with pytest.raises(ValueError, match="a compute class is"):
            tokens(right | wrong)
    with pytest.raises(ValueError, match="a compute class is"):
        tokens({"languini": "6h"})
