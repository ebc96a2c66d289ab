"""What both frameworks do by default: found by running them, and the page says the same."""

import re
from copy import deepcopy

import pytest

from benchmarks.__main__ import main
from benchmarks.commands.defaults import probed
from benchmarks.comparing.defaults import between_frameworks, between_releases
from benchmarks.measuring import environments
from benchmarks.reporting import defaults as words
from mnist_models import implementations
from mnist_models.defaults import TOPICS
from mnist_models.implementations import PAIR

pytestmark = pytest.mark.slow
KERAS, PYTORCH = PAIR


@pytest.fixture(scope="module")
def found():
    """Versions and probe of each of the pair."""
    for name in PAIR:
        if lacks := implementations.missing(name):
            pytest.skip(f"not installed: pip install {' '.join(lacks)}")
    return probed(environments.own())


@pytest.fixture(scope="module")
def differences(found):
    """By topic."""
    return {one.topic: one for one in between_frameworks(found[KERAS][1], found[PYTORCH][1])}


def test_every_topic_is_found_in_both(differences):
    assert differences.keys() == TOPICS.keys()


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("convolution, same, stride 2", "outputs differ by"),
        ("batch normalisation", "the running mean differs by"),
        ("LSTM", "parameters: 33,024 / 33,280"),
        ("leaky ReLU", "outputs differ by"),
        ("SGD", "ten steps go 10 times as far"),
        ("embedding", "starting embeddings: 0 ± 0.029"),
        ("AdamW", "ten steps differ by"),
        ("He (Kaiming) normal", "draws: "),
        ("binary cross-entropy", "/ refused"),
    ],
)
def test_what_people_do_not_expect_is_found(differences, topic, said):
    """Each claim of docs/differences.md that the probe can show."""
    assert said in "; ".join(differences[topic].effects)


@pytest.mark.parametrize("topic", ["max pooling", "GELU", "Adam", "mean squared error", "ELU"])
def test_what_is_the_same_is_said_to_be(differences, topic):
    """Else the comparison would find a difference in everything."""
    assert differences[topic].effects == ()


@pytest.mark.parametrize("name", PAIR)
def test_a_layer_in_float64_answers_in_float64(found, name):
    """Keras's nightly build on PyTorch does not: an exhibit of the museum."""
    assert found[name][1]["dense in float64"]["answers"]["inference"].dtype == "float64"


def test_the_page_says_what_is_found(found):
    """docs/differences.md, where these are the versions that it speaks of."""
    page = words.PAGE.read_text(encoding="utf-8")
    if words.versions(found) not in page:
        pytest.skip(f"the page speaks of other versions than {words.versions(found)}")
    block = re.search(r"<!-- frameworks -->\n(.*?)<!-- end of", page, re.DOTALL)
    shown = words.frameworks(found)
    rows = [line for line in shown.splitlines() if "up to" not in line]  # no draw is the same
    assert [row for row in rows if row not in block[1]] == []


def test_nothing_changes_within_a_release(found):
    for name in PAIR:
        assert between_releases(found[name][1], found[name][1]) == []


PLANTED = {
    "epsilon: 0.001 / 0.002": lambda new: new["settings"].update(epsilon="0.002"),
    "outputs differ by": lambda new: new["answers"].update(
        inference=new["answers"]["inference"] * 2
    ),
    "outputs are float32 / float64": lambda new: new["answers"].update(
        inference=new["answers"]["inference"].astype("f8")
    ),
    "starting gamma: 1 / 2": lambda new: new["start"].update(gamma=[2.0, 0.0, 2.0]),
    "parameters: 16 / 17": lambda new: new.update(parameters=17),
    "is gone": lambda new: new.update(missing="AttributeError"),
}


@pytest.mark.parametrize("said", PLANTED)
def test_a_planted_change_between_releases_is_found(found, said):
    """In the topic where it is, and nowhere else."""
    old, new = found[KERAS][1], deepcopy(found[KERAS][1])
    PLANTED[said](new["batch normalisation"])
    [(topic, _, change)] = between_releases(old, new)
    assert topic == "batch normalisation"
    assert change.startswith(said)


def test_an_environment_that_is_none_is_refused(capsys):
    """In words that say what to give."""
    assert main(["defaults", "--against", "nowhere"]) == 4
    said = capsys.readouterr().err
    assert "nowhere: there is no such folder or file" in said
    assert "--baseline" not in said
