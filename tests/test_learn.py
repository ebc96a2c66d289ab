"""Learning curves: the verdict on where they end, and the command that makes them."""

import json

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.comparing import curves
from benchmarks.comparing.curves import FAMILY, MARGIN, Run, band, cases, endings
from benchmarks.reporting.learning import table
from mnist_models import implementations
from mnist_models.implementations import PAIR
from tests.test_command_lines import write_data


def runs(differences, spread=0.001, arm="own", architecture="mlp"):
    """Ten seeds' runs of each of the pair; the second ends higher by `differences`."""
    random = np.random.default_rng(1)
    base = 0.9 + spread * random.standard_normal(len(differences))
    return [
        Run(
            architecture=architecture,
            implementation=name,
            arm=arm,
            seed=seed,
            accuracies=[0.8, float(base[seed] + (name == PAIR[1]) * differences[seed])],
            recipe={},
        )
        for name in PAIR
        for seed in range(len(differences))
    ]


NOISE = 0.0005 * np.random.default_rng(2).standard_normal(10)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        (NOISE, "equivalent"),
        (NOISE + 0.001, "equivalent"),
        (NOISE + 0.02, "pytorch_eager is better"),
        (NOISE - 0.02, "keras_tensorflow is better"),
        (40 * NOISE, "cannot tell"),
    ],
)
def test_the_verdict_on_the_ends(differences, verdict):
    """Equal within the margin, better where the interval says so, and else nothing."""
    [end] = endings(runs(differences))
    assert end.verdict == verdict


def test_a_difference_within_the_margin_is_none_however_sure_it_is():
    [end] = endings(runs(NOISE / 10 + MARGIN / 2))
    assert end.low > 0
    assert end.verdict == "equivalent"


def test_all_intervals_together_hold_as_often_as_they_say():
    """Of experiments with twelve comparisons of seeds that differ by chance alone."""
    random, missed = np.random.default_rng(3), 0
    for _ in range(200):
        every = [
            run
            for number in range(12)
            for run in runs(0.002 * random.standard_normal(10), architecture=f"net{number}")
        ]
        missed += any(end.low > 0 or end.high < 0 for end in endings(every))
    assert missed / 200 < FAMILY + 3 * np.sqrt(FAMILY / 200)


def test_seeds_of_one_side_alone_do_not_count():
    every = runs(NOISE)
    [end] = endings(every[:-1])
    assert end.seeds == 9
    assert {band(seeds).seeds for seeds in cases(every[:-1])["mlp", "own"]} == {9}
    assert endings(every[:11]) == []


def test_a_band_is_mean_and_deviation_over_seeds():
    [seeds, _] = cases(runs([0.0] * 3, spread=0.0))["mlp", "own"]
    found = band(seeds)
    assert found.means == pytest.approx([0.8, 0.9])
    assert found.deviations == pytest.approx([0, 0])


def test_a_run_of_other_epochs_is_refused():
    about = {"dataset": "mnist", "sha256": "", "epochs": 3, "batch_size": 128, "versions": {}}
    found = about | {"runs": [one.model_dump() for one in runs(NOISE)]}
    with pytest.raises(ValueError, match="has 2 accuracies in 3 epochs"):
        curves.read(json.dumps(found))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "Invalid JSON"),
        ("[]", "an object"),
        ('{"dataset": "mnist"}', "sha256 is missing"),
    ],
)
def test_a_file_of_something_else_is_refused(content, words):
    with pytest.raises(ValueError, match=words):
        curves.read(content)


@pytest.mark.slow
def test_the_experiment_goes_on_where_it_was(tmp_path, capsys):
    """What is there is not trained again; a file of another experiment is left alone."""
    for name in PAIR:
        if lacks := implementations.missing(name):
            pytest.skip(f"not installed: pip install {' '.join(lacks)}")
    write_data(tmp_path / "small", seed=1)
    output = tmp_path / "curves.json"
    arguments = ["learn", "--dataset", str(tmp_path / "small"), "-o", str(output)]
    short = ["--architecture", "lstm", "--architecture", "resnet", "--epochs", "1"]
    assert main([*arguments, *short, "--seeds", "2"]) == 0
    said, found = capsys.readouterr().out, curves.read(output.read_text())
    assert said.count("keras_tensorflow 0.") == len(found.runs) / 2 == 8
    assert {run.arm for run in found.runs} == {"equal", "own"}
    assert table(found) in said
    own = [run for run in found.runs if run.place[:3] == ("lstm", PAIR[1], "own")]
    assert {run.recipe["epsilon"] for run in own} == {1e-8}
    equal = {run.recipe["epsilon"] for run in found.runs if run.arm == "equal"}
    assert equal == {1e-7}
    content = json.loads(output.read_text())
    content["runs"][0]["accuracies"] = [0.123]
    output.write_text(json.dumps(content))
    assert main([*arguments, *short, "--seeds", "2"]) == 0
    assert curves.read(output.read_text()).runs[0].accuracies == [0.123]
    before = output.read_bytes()
    with pytest.raises(SystemExit):
        main([*arguments, "--epochs", "2"])
    assert "has epochs 1, this run 2; give another --output" in capsys.readouterr().err
    assert output.read_bytes() == before
