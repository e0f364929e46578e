"""What verbs print for programs."""

import argparse
import json
import math

import numpy as np
import pytest

from corpuskit.cli.options import answer


def test_what_is_no_number_is_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"loss": math.nan, "rate": math.inf, "by": {0.5: 1}, "seen": np.int64(3), "name": "ü"}
    answer(argparse.Namespace(json=True), "text", data)
    found = json.loads(capsys.readouterr().out)
    assert found["loss"] is found["rate"] is None
    assert (found["by"], found["seen"], found["name"]) == ({"0.5": 1}, 3, "ü")
    answer(argparse.Namespace(json=False), "text", data)
    assert capsys.readouterr().out == "text\n"
