"""The examples do what they say, alike in both frameworks; what is counted and recorded is so."""

import ast
import json
import re
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from examples import measure, page, record
from examples.__main__ import main
from examples.mistakes import CONTROL, CULPRITS, CannotHappen, accepted
from mnist_models import implementations, networks, weights
from mnist_models.implementations import numpy_reference
from mnist_models.recipe import SGD, Recipe

SIDES = list(record.SIDES)
TOLERANCE = 5  # percentage points by which another processor's rounding may move an accuracy
SAVED = json.loads(page.DATA.read_text(encoding="utf-8"))


class Found:
    """What a framework's process left: arrays, what scripts printed, what mistakes gave."""

    def __init__(self, folder, side):
        with np.load(folder / f"{side}.npz") as file:
            self.arrays = dict(file)
        self.printed = json.loads((folder / f"{side}_printed.json").read_text())
        self.recorded = json.loads((folder / f"{side}.json").read_text())


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ease_of_use")
    record.save_digits(folder)
    return folder


@pytest.fixture(scope="session")
def found(folder):
    """A function from a framework to what was found of it; skips where it is not installed.

    Both run side by side, each in one process for everything.
    """
    lacks = {side: implementations.missing(name) for side, name in record.SIDES.items()}
    present = [side for side in SIDES if not lacks[side]]

    def run(side):
        record.run_apart(f"tests.tasks_in_{side}", str(folder))
        return Found(folder, side)

    # Not TensorFlow's default on every processor; without it convolutions take three times as long.
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(SIDES)) as pool:
        patch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
        runs = {side: pool.submit(run, side) for side in present}

    def get(side):
        if lacks[side]:
            pytest.skip(f"not installed: pip install {' '.join(lacks[side])}")
        return runs[side].result()

    return get


@pytest.fixture(params=SIDES)
def one(request, found):
    """What was found of one framework."""
    return found(request.param)


@pytest.fixture(scope="session")
def digits(folder):
    return record.read_digits(folder, "keras")


# Twins


def outline(text):
    """Functions with their parameters and classes by their names, in order."""
    return [
        (node.name, [one.arg for one in node.args.args])
        if isinstance(node, ast.FunctionDef)
        else (node.name, "class")
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]


# To write the step out, Keras wants a class; PyTorch has it written out already.
KERAS_ONLY = {"custom_training_step": [("CustomModel", "class")]}


@pytest.mark.parametrize("task", measure.TASKS)
def test_tasks_are_twins(task):
    """Both files offer the same names with the same parameters in the same order."""
    ours, theirs = (outline(measure.source(side, task)) for side in SIDES)
    assert ours == KERAS_ONLY.get(task, []) + theirs
    assert theirs


@pytest.mark.parametrize("side", SIDES)
def test_every_file_is_a_task(side):
    """None is left out of the tables."""
    stems = {path.stem for path in measure.FOLDERS[side].glob("*.py")}
    assert stems == {*measure.TASKS, "__init__"}


def mistakes(side):
    """Parameters and title of each mistake in the file, in order."""
    path = record.ROOT / "examples" / "mistakes" / f"{side}_mistakes.py"
    return {
        node.name: ([one.arg for one in node.args.args], ast.get_docstring(node))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name in {CONTROL, *CULPRITS}
    }


@pytest.mark.parametrize("side", SIDES)
def test_mistakes_are_twins(side):
    """Both files make the same mistakes under the same titles, in the order of the table."""
    assert mistakes(side) == mistakes("keras")
    assert list(mistakes(side)) == [CONTROL, *CULPRITS]


def test_files_that_drift_apart_are_noticed():
    """Another name, another parameter, one more function."""
    text = "def train(model, images):\n    pass\n"
    assert outline(text) == [("train", ["model", "images"])]
    for changed in (text.replace("train", "fit"), text.replace("images", "x"), text + "class A: 1"):
        assert outline(changed) != outline(text)


# The tasks do what they say


@pytest.mark.parametrize("task", measure.TASKS)
def test_each_file_runs_as_a_script(one, task):
    """And prints something."""
    assert one.printed[task].strip()


def test_the_network_is_lenet5(one):
    """With as many parameters as the architecture has."""
    assert tuple(one.arrays["started"]) == (networks.load("lenet5").parameters,)


def test_trained_models_are_accurate(one):
    """After eight epochs on 2000 images; guessing would reach 10 %."""
    assert 0.7 < one.arrays["evaluated"][1] < 0.99


def test_evaluation_is_right(one, digits):
    """Loss and accuracy are those that NumPy finds in the logits, and not those of other labels."""

    def expected(labels):
        logits = one.arrays["logits"].astype("float64")
        chosen = logits[np.arange(len(labels)), labels]
        loss = np.mean(np.log(np.exp(logits).sum(axis=1)) - chosen)
        return loss, np.mean(logits.argmax(axis=1) == labels)

    assert one.arrays["evaluated"] == pytest.approx(expected(digits[3]), rel=1e-4)
    assert one.arrays["evaluated"] != pytest.approx(expected(np.roll(digits[3], 1)), rel=1e-4)


def test_a_loaded_model_predicts_as_the_saved_one(one):
    """Identically, and other images get other predictions."""
    np.testing.assert_array_equal(one.arrays["loaded"], one.arrays["logits"])
    assert (one.arrays["logits"][1:] != one.arrays["logits"][:-1]).any(axis=1).all()


def test_a_custom_step_is_the_ordinary_one(one):
    """Three steps of each move the weights to the same place, away from where they were."""
    start = np.concatenate(
        [array.ravel() for array in weights.initial(networks.load("lenet5"), 0).values()]
    )
    np.testing.assert_allclose(one.arrays["custom"], one.arrays["ordinary"], atol=1e-5)
    assert np.median(np.abs(one.arrays["custom"] - start)) > 1e-4


def test_a_custom_step_reports_the_ordinary_loss(found):
    """As `fit` shows it: after each epoch, and less each time."""
    ordinary, custom = found("keras").arrays["reported"]
    assert custom == pytest.approx(ordinary, rel=1e-4)
    assert 3 > ordinary[0] > ordinary[1] > ordinary[2] > 1


def test_a_custom_layer_is_the_built_in_one(one):
    """For the same weights and images."""
    np.testing.assert_allclose(one.arrays["affine"], one.arrays["dense"], rtol=1e-5, atol=1e-6)
    assert np.abs(one.arrays["dense"]).min() > 1e-6


@pytest.fixture(scope="module")
def reference(digits):
    """The gradients of the same weights and images in NumPy, in float64: one step of rate 1."""
    trainer = numpy_reference.Trainer(
        networks.load("lenet5"), Recipe(SGD(1.0), 100), "cpu", "float64"
    )
    trainer.set_weights(weights.initial(networks.load("lenet5"), 0))
    before = {name: array.copy() for name, array in trainer.get_weights().items()}
    trainer.train_step(*trainer.put(digits[0][:100], digits[1][:100]))
    after = trainer.get_weights()
    return np.concatenate([(before[name] - after[name]).ravel() for name in before])


def distance(have, want):
    return np.linalg.norm(have - want) / np.linalg.norm(want)


def test_gradients_are_the_references(one, reference):
    """Within float32, weight by weight in the layout that all share."""
    assert distance(one.arrays["gradients"], reference) < 1e-5
    assert distance(np.roll(one.arrays["gradients"], 1), reference) > 1e-5


def test_gradients_agree(found):
    """Of both frameworks, with each other."""
    ours, theirs = (found(side).arrays["gradients"] for side in SIDES)
    assert distance(ours, theirs) < 1e-5


def test_learning_rates_follow_the_cosine(one):
    """At each of the six steps, and none is that of the step before."""
    expected = 1e-3 * 0.5 * (1 + np.cos(np.pi * np.arange(6) / 6))
    assert one.arrays["rates"] == pytest.approx(expected, rel=1e-5)
    assert len({*one.arrays["rates"]}) == 6


# What is counted

SNIPPET = '''"""A docstring."""
import keras
from torch import nn


def build(size):
    return nn.Linear(size, 10)


if __name__ == "__main__":
    print(build(3))
'''


def test_measures_of_a_snippet():
    """Docstring, imports and script are left out; two statements, one name, 15 tokens."""
    assert measure.measures(SNIPPET) == {
        "logical_lines": 2,
        "api_names": 1,
        "api_words": 0,
        "tokens": 6 + 9,
        "nesting": 1,
        "code": SNIPPET[SNIPPET.index("import") : SNIPPET.index("if __name__")].strip() + "\n",
    }


CHANGES = {
    "a comment": ("import keras\n", "import keras  # for later\n", {}),
    "a line break": ("(size, 10)", "(\n        size,\n        10,  # classes\n    )", {}),
    "an import": ("import keras\n", "import keras\nimport numpy as np\n", {}),
    "another script": ("print(build(3))", "print(keras.ops.ones(3), build(3))", {}),
    "a longer docstring": ("A docstring", "A docstring\n\nof two lines", {}),
    "a token": ("(size, 10)", "(size, -10)", {"tokens": 1}),
    "a keyword": (", 10)", ", units=10)", {"tokens": 2, "api_words": 1}),
    "a string": (", 10)", ", 'ten')", {"api_words": 1}),
    "an attribute": ("(size,", "(size.real,", {"tokens": 2, "api_names": 1}),
    "a name twice": ("size, 10)", "nn.Linear, 10)", {"tokens": 2}),
    "a name through two modules": (", 10)", ", keras.ops.max)", {"tokens": 4, "api_names": 1}),
    "an attribute of a result": (", 10)", ", 10).weight", {"tokens": 2, "api_names": 1}),
    "a statement": ("return", "print()\n    return", {"tokens": 3, "logical_lines": 1}),
    "a block": (
        "    return nn.Linear(size, 10)",
        "    if size:\n        return nn.Linear(size, 10)",
        {"tokens": 3, "logical_lines": 1, "nesting": 1},
    ),
    "what the file sets itself": (
        "    return",
        "    self.best = 3\n    self.best += 1\n    return",
        {"tokens": 10, "logical_lines": 2},
    ),
    "what it sets of something else": (
        "    return",
        "    size.best = 3\n    self.size.best += 1\n    return",
        {"tokens": 12, "logical_lines": 2, "api_names": 2},
    ),
    "what the framework will call": (
        "def build(size)",
        "class Net(nn.Module):\n    def forward(self):\n        0\n\n\ndef build(size)",
        {"tokens": 15, "logical_lines": 3, "api_names": 2, "nesting": 1},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_measure_changes_when_it_should(change):
    """By as much as it should, and no other."""
    old, new, expected = CHANGES[change]
    assert old in SNIPPET
    before, after = (measure.measures(text) for text in (SNIPPET, SNIPPET.replace(old, new)))
    difference = {name: after[name] - before[name] for name in page.MEASURES}
    assert {name: by for name, by in difference.items() if by} == expected


# What is recorded


def guess(images, labels, test_images):
    """A mistake: everything is a zero."""
    return np.zeros(len(test_images), int)


def warn(images, labels, test_images):
    """A mistake of which one is warned."""
    warnings.warn("rate of 7\nis large", UserWarning, stacklevel=1)
    return guess(images, labels, test_images)


def fail(images, labels, test_images):
    """A mistake that is an error."""
    raise ValueError("\nbad input of file /home/me/data/x.npz at 0x7f00ff\nof size 7")


def cannot(images, labels, test_images):
    """A mistake that cannot be made."""
    raise CannotHappen("there is no 7")


@accepted("all are zeros")
def rightly(images, labels, test_images):
    """A mistake that is none."""
    return guess(images, labels, test_images)


COST = {"accuracy_cost": 65, "accuracy_least": 25, "accuracy_most": 25}
BLANK = dict.fromkeys(("exception", "message", "names_culprit", *COST))
PLANTED = {
    guess: {"outcome": "silent"} | COST,
    warn: {
        "outcome": "warning",
        "exception": "UserWarning",
        "message": "rate of 7",
        "names_culprit": True,
    }
    | COST,
    fail: {
        "outcome": "error",
        "exception": "ValueError",
        "message": "bad input of file /… at 0x… … of size 7",
        "names_culprit": True,
    },
    cannot: {"outcome": "cannot happen", "message": "there is no 7"},
}


@pytest.fixture
def four():
    """Data of four images, of which one is a zero."""
    return [None, None, np.zeros(4), np.array([0, 1, 2, 3])]


@pytest.mark.parametrize("mistake", PLANTED)
def test_each_outcome_is_recorded(mistake, four):
    """Where right code reaches 90 % and the mistake 25 %, silence costs 65 %."""
    assert record.record(mistake, r"\b7\b", four, 0.9) == BLANK | PLANTED[mistake]


@pytest.mark.parametrize("mistake", [warn, fail])
def test_a_message_without_the_culprit_is_recorded(mistake, four):
    """It is looked for in the message alone."""
    assert record.record(mistake, r"\b8\b", four, 0.9)["names_culprit"] is False


def test_a_usual_warning_does_not_count(four):
    """One that is given when nothing is wrong, too."""
    _, usual = record.attempt(warn, four, [lambda: None])
    assert record.record(warn, "7", four, 0.9, usual)["outcome"] == "silent"


def test_costs_are_of_the_median_seed(four):
    """Three seeds that reach 25, 50 and 100 % cost 40 points of 90."""
    answers = iter([[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 2, 0]])
    drawn = []

    def lucky(images, labels, test_images):
        return np.array(drawn[-1])

    starts = [lambda: drawn.append(next(answers))] * 3
    expected = {"accuracy_cost": 40, "accuracy_least": 25, "accuracy_most": 100}
    found = record.record(lucky, "7", four, 0.9, starts=starts)
    assert found == BLANK | {"outcome": "silent"} | expected


def test_an_accepted_mistake_is_recorded(four):
    """With its reason; and one that costs accuracy is not to be accepted."""
    expected = {"outcome": "accepted", "message": "all are zeros"} | COST | {"accuracy_cost": 4}
    assert record.record(rightly, "7", four, 0.29) == BLANK | expected
    with pytest.raises(record.RecordError, match="rightly is not to be accepted"):
        record.record(rightly, "7", four, 0.30)


def test_predictions_of_another_shape_are_an_error(four):
    """They are the example's own fault, and must not pass for an accuracy."""
    with pytest.raises(record.RecordError, match=r"predicted \(4, 1\)"):
        record.record(lambda *given: guess(*given)[:, np.newaxis], "", four)


def test_a_broken_example_is_no_record(four):
    """A slip of the example's own would otherwise pass for what the framework says."""
    with pytest.raises(NameError, match="slip"):
        record.record(lambda *_: slip, "", four)  # type: ignore[name-defined]  # noqa: F821


def test_long_lines_are_shortened():
    """To 180 characters."""
    assert record.shortened("x" * 180) == "x" * 180
    assert record.shortened("x" * 181) == "x" * 179 + "…"


MESSAGE = "\n\x1b[1mwrapped\x1b[0m by a layer\nof size 7\nof size 7 or 8"


@pytest.mark.parametrize(
    ("culprit", "shown"),
    [
        ("wrapped by", "wrapped by a layer"),
        (r"\b7\b", "wrapped by a layer … of size 7"),
        (r"\b8\b", "wrapped by a layer … of size 7 or 8"),
        (r"\b9\b", "wrapped by a layer"),
    ],
)
def test_the_line_that_names_the_culprit_is_shown(culprit, shown):
    """After the first one, unless that is it already; and none of a terminal's colours."""
    told = record.told(ValueError(MESSAGE), culprit)
    assert told["message"] == shown
    assert told["names_culprit"] is (culprit != r"\b9\b")


def test_a_named_culprit_is_never_cut_off():
    """Where a message names it, what is shown of the message does."""
    for row in SAVED["mistakes"]:
        for side in SIDES:
            if row[side]["names_culprit"]:
                assert re.search(CULPRITS[row["mistake"]], row[side]["message"])


@pytest.mark.slow
def test_a_process_that_fails_is_an_error():
    """With what it said."""
    with pytest.raises(record.RecordError, match="no_such_module"):
        record.run_apart("examples.no_such_module")


def test_a_missing_framework_is_an_error(monkeypatch, capsys):
    """With the command that installs it."""
    monkeypatch.setattr(implementations, "missing", lambda name: ["torch"])
    assert main(["write"]) == 1
    assert "pip install torch" in capsys.readouterr().err


def near(one, other):
    """Whether one seed's accuracy is where the recorded seeds' are; likewise its cost."""
    if None in (one["accuracy_cost"], other["accuracy_cost"]):
        return True
    least, most = other["accuracy_least"], other["accuracy_most"]
    return (
        least - TOLERANCE <= one["accuracy_least"] <= one["accuracy_most"] <= most + TOLERANCE
        and abs(one["accuracy_cost"] - other["accuracy_cost"]) <= most - least + 2 * TOLERANCE
    )


def differences(have, want):
    """Names of mistakes recorded otherwise; of costs only whether they are near."""
    return [
        name
        for name in want
        if have[name] | dict.fromkeys(COST) != want[name] | dict.fromkeys(COST)
        or (have[name]["accuracy_cost"] is None) != (want[name]["accuracy_cost"] is None)
        or not near(have[name], want[name])
    ]


@pytest.mark.parametrize("side", SIDES)
def test_mistakes_give_what_was_recorded(found, side):
    """With the same versions, from the first of the seeds; otherwise: python -m examples write."""
    recorded = found(side).recorded
    saved = {name: SAVED["versions"][name] for name in recorded["versions"]}
    if recorded["versions"] != saved:
        pytest.skip(f"recorded with {saved}, here is {recorded['versions']}")
    want = {row["mistake"]: row[side] for row in SAVED["mistakes"]}
    assert differences(recorded["mistakes"], want) == []
    control = SAVED["control"][side]
    low, high = control["accuracy_least"] - TOLERANCE, control["accuracy_most"] + TOLERANCE
    assert low <= recorded["control"]["accuracy"] <= high


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("outcome", "silent"),
        ("message", "x"),
        ("names_culprit", None),
        ("accuracy_cost", 50),
        ("accuracy_cost", None),
        ("accuracy_least", 10),
        ("accuracy_most", 100),
    ],
)
def test_another_record_is_noticed(key, value):
    """Whatever is different in it."""
    want = {row["mistake"]: row["keras"] for row in SAVED["mistakes"]}
    name = "softmax_before_the_loss"
    assert differences(want, want) == []
    assert differences(want | {name: want[name] | {key: value}}, want) == [name]


# The page and its data


def test_page_and_data_are_fresh():
    """What is counted now and was recorded makes both; otherwise: python -m examples write."""
    made = page.document(SAVED)
    assert page.DATA.read_text(encoding="utf-8") == page.as_json(made)
    assert page.PAGE.read_text(encoding="utf-8") == page.page(made)
    assert [row["mistake"] for row in made["mistakes"]] == list(CULPRITS)
    titles = {name: title.rstrip(".") for name, (_, title) in mistakes("keras").items()}
    assert all(row["title"] == titles[row["mistake"]] for row in made["mistakes"])


def test_the_readme_counts_the_mistakes():
    """As many as there are."""
    readme = (record.ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{len(CULPRITS)} common mistakes" in readme


@pytest.mark.parametrize("side", SIDES)
def test_a_stale_page_is_noticed(monkeypatch, side):
    """One more token in one example makes another page."""
    read = measure.source
    monkeypatch.setattr(
        measure,
        "source",
        lambda at, task: read(at, task) + ("\n1\n" if (at, task) == (side, "train") else ""),
    )
    with pytest.raises(AssertionError):
        test_page_and_data_are_fresh()


def test_writing_goes_through_both_files(monkeypatch, tmp_path, capsys):
    """`write` writes both, and without it the page is printed."""
    monkeypatch.setattr(record, "collect", lambda: SAVED)
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(page, "DATA", tmp_path / "data.json")
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert main(["write"]) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == printed
    assert json.loads((tmp_path / "data.json").read_text(encoding="utf-8")) == SAVED


def test_cells_are_escaped():
    """What a message has of Markdown's own signs does not break the table."""
    assert page.escaped("a|b<c>") == r"a\|b\<c\>"
    assert page.code_cell("a|`b`<c>") == r"`` a\|`b`<c> ``"
    rows = [line for line in page.page(SAVED).splitlines() if line.startswith("| ")]
    bars = {line.replace(r"\|", "").count("|") for line in rows}
    assert bars == {3, 7, 9, 12}


def test_the_sum_counts_a_name_once():
    """Two tasks that are the same need no more names than one; lines and tokens add up."""
    row = measure.measures(SNIPPET)
    both = page.together([row, row])
    assert both["api_names"] == row["api_names"]
    assert both["api_words"] == row["api_words"]
    assert both["tokens"] == 2 * row["tokens"]
    assert both["nesting"] == row["nesting"]
