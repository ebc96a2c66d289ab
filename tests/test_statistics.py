"""What lies between samples and words: intervals, verdicts, replay, panel, plan and journal."""

import json
from io import StringIO
from math import comb, nan
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from benchmarks.comparing import ratios
from benchmarks.comparing.ratios import MARGIN, Ratio, ratio
from benchmarks.measuring import journal as journals
from benchmarks.measuring.plan import Plan
from benchmarks.measuring.results import Results
from benchmarks.pytest_plugin import summary
from benchmarks.pytest_plugin.replay import Clock
from benchmarks.reporting import terminal, words
from benchmarks.trial import Trial
from mnist_models.implementations import PAIR
from mnist_models.operations import OPERATIONS

KERAS, PYTORCH = PAIR
STEP, FORWARD, EPOCH = (
    Trial(operation, "mlp", 128, "cpu") for operation in ("train_step", "forward", "epoch")
)
SIMULATIONS = 2000
# What a worker of these tests says of its formulas.
SMOOTH = {"rough_statistics": False}


def one_each(values):
    """Blocks of one sample each."""
    return {block: [float(value)] for block, value in enumerate(values)}


def ones(count):
    return one_each(np.ones(count))


# Intervals


@pytest.mark.parametrize("blocks", range(1, 6))
def test_fewer_than_six_blocks_give_no_interval(blocks):
    """2 · 2⁻⁵ is above 0.05: however clear five blocks look, they prove nothing at 95 %."""
    found = ratio(one_each(np.full(blocks, 100.0)), ones(blocks))
    assert (found.value, found.low, found.high) == (pytest.approx(100), None, None)
    assert found.winner is None


def test_six_blocks_span_their_interval():
    """2 · 2⁻⁶ is below 0.05: six blocks give one, from their smallest to their largest ratio."""
    found = ratio(one_each([1.3, 1.1, 1.6, 1.2, 1.5, 1.4]), ones(6))
    assert (found.low, found.high) == (pytest.approx(1.1), pytest.approx(1.6))
    assert (found.value, found.blocks) == (pytest.approx(np.sqrt(1.3 * 1.4)), 6)


@pytest.mark.parametrize("blocks", range(6, 21))
def test_interval_is_the_narrowest_exact_one(blocks):
    """Its ends are order statistics: they cover the median in 95 % of sessions, the next do not."""
    values = np.arange(1.0, blocks + 1)
    found = ratio(one_each(np.random.default_rng(blocks).permutation(values)), ones(blocks))
    rank = round(found.low)
    assert (found.low, found.high) == (pytest.approx(rank), pytest.approx(blocks + 1 - rank))

    def exact(rank):
        return 1 - 2 * sum(comb(blocks, below) for below in range(rank)) / 2**blocks

    assert exact(rank + 1) < ratios.CONFIDENCE <= exact(rank)


@pytest.mark.parametrize("confidence", [0.9, ratios.CONFIDENCE, 1 - 0.02 / 7])
def test_interval_is_that_of_scipy(confidence):
    """Whose import would take most of a second of every session."""
    for blocks in range(1, 40):
        ends = stats.quantile_test(range(blocks), p=0.5).confidence_interval(confidence)
        found = tuple(map(int, ends)) if np.isfinite(ends).all() else None
        assert ratios.places(blocks, confidence) == found


@pytest.mark.parametrize(("blocks", "enough"), [(8, False), (9, False), (10, True)])
def test_many_benchmarks_at_once_need_more_blocks(blocks, enough):
    """Bonferroni over 24 benchmarks: 8 blocks can never pass, as 2 · 2⁻⁸ is above 0.05 / 24."""
    found = ratio(ones(blocks), ones(blocks), confidence=1 - 0.05 / 24)
    assert (found.low is not None) == enough


def null_session(random, blocks=6, rounds=10, offset=0.01, noise=0.01):
    """Two contestants that are the same code; each fresh process draws an offset of its own."""
    offsets = random.normal(0, offset, (2, blocks, 1))
    samples = np.exp(offsets + random.normal(0, noise, (2, blocks, rounds)))
    return [{block: list(values) for block, values in enumerate(one)} for one in samples]


def pooled(blocks):
    """Rounds taken for blocks: what is not to be done."""
    return one_each(sample for samples in blocks.values() for sample in samples)


def coverage(simulations, arrange):
    """In which share of simulated A/A sessions the interval holds the true ratio 1."""
    random = np.random.default_rng(2026)
    found = [ratio(*map(arrange, null_session(random))) for _ in range(simulations)]
    return np.mean([one.low <= 1 <= one.high for one in found])


def test_interval_covers_the_truth_although_processes_differ():
    """A/A with process offsets as large as the noise: at least 95 % of the intervals hold 1."""
    assert coverage(SIMULATIONS, dict) >= ratios.CONFIDENCE


def test_rounds_taken_for_blocks_would_not_cover_the_truth():
    """The same sessions with rounds pooled as if independent: the interval is far too small."""
    assert coverage(SIMULATIONS // 4, pooled) < 0.75


# Ratios


def test_common_drift_leaves_paired_ratios_alone():
    """A machine that gets slower and slower does not move the ratio of what alternates."""
    drift = np.exp(np.cumsum(np.random.default_rng(1).normal(0.02, 0.1, (6, 20))).reshape(6, 20))
    first = {block: list(1.25 * slowness) for block, slowness in enumerate(drift)}
    second = {block: list(slowness) for block, slowness in enumerate(drift)}
    found = ratio(first, second)
    assert (found.value, found.low, found.high) == pytest.approx((1.25, 1.25, 1.25), rel=1e-12)


def test_drift_decides_about_what_is_measured_one_after_the_other():
    """Without pairs, the same drift makes the 25 % slower of two look faster."""
    drift = np.linspace(1, 2, 40)
    assert np.median(1.25 * drift[:20]) / np.median(drift[20:]) < 1


def test_disturbed_rounds_do_not_move_a_block():
    """A block is the median of its paired ratios: a minority of disturbed rounds is nothing."""
    second = {block: [1.0] * 10 for block in range(6)}
    first = {block: [2.0] * 6 + [200.0] * 4 for block in range(6)}
    assert ratio(first, second) == Ratio(*map(pytest.approx, (2, 2, 2, 6)))


def test_swapping_the_contestants_inverts_everything():
    """The ratio of b over a is one over that of a over b, and so are its interval's ends."""
    random = np.random.default_rng(3)
    first, second = one_each(random.uniform(1, 2, 9)), one_each(random.uniform(1, 2, 9))
    there, back = ratio(first, second), ratio(second, first)
    inverse = (1 / back.value, 1 / back.high, 1 / back.low)
    assert (there.value, there.low, there.high) == pytest.approx(inverse)


def test_only_blocks_of_both_count():
    """A block in which only one of the two was measured tells nothing about their ratio."""
    found = ratio({0: [2.0], 1: [4.0], 7: [99.0]}, {0: [1.0], 1: [2.0], 5: [0.01]})
    assert (found.value, found.blocks) == (pytest.approx(2), 2)


@pytest.mark.parametrize("first", [{}, {1: [1.0]}], ids=["empty", "disjoint"])
def test_nothing_in_common_is_no_verdict(first):
    """Without a block in common there is neither ratio, nor interval, nor winner, nor a warning."""
    found = ratio(first, {0: [1.0]})
    assert np.isnan(found.value)
    assert (found.low, found.high, found.blocks, found.winner) == (None, None, 0, None)


def test_nan_spreads():
    """A sample that is no number gives no ratio and no winner, rather than a wrong one."""
    found = ratio(one_each([nan, 2, 2, 2, 2, 2]), ones(6))
    assert np.isnan(found.value)
    assert (found.low, found.high, found.winner) == (None, None, None)


@pytest.mark.parametrize(
    "samples",
    [
        [1.0, 1.0],
        [1.0],
    ],
    ids=len,
)
def test_blocks_of_different_lengths_are_refused(samples):
    """Samples are paired by position: a block in which one has more of them is an error."""
    with pytest.raises(ValueError, match="argument 2"):
        ratio({0: samples}, {0: [1.0, 2.0, 3.0]})


# Winners


@pytest.mark.parametrize(
    ("low", "high", "winner"),
    [
        (0.5, 0.6, 0),
        (1.9, 2.1, 1),
        (1.002, 1.005, None),
        (0.995, 0.998, None),
        (0.9, 1.1, None),
        (1 + MARGIN / 2, 2.0, None),
        (1 + 1.1 * MARGIN, 2.0, 1),
        (0.5, 1 - MARGIN / 2, None),
        (0.5, 1 / (1 + 1.1 * MARGIN), 0),
        (None, None, None),
    ],
)
def test_winner_needs_the_margin(low, high, winner):
    """The whole interval must lie beyond 1 % from equality; excluding equality is not enough."""
    assert Ratio(1.0, low, high, 6).winner == winner


def test_winner_is_symmetric():
    """Whether somebody wins does not depend on who is named first."""
    edge = 1 + 1.0001 * MARGIN
    assert Ratio(edge, edge, edge, 6).winner == 1
    assert Ratio(1 / edge, 1 / edge, 1 / edge, 6).winner == 0


# Replay


@pytest.fixture
def replay(request):
    """Replay samples through pytest-benchmark's own fixture; returns the data it has then."""
    if not request.config.getoption("benchmark_enable") and (
        request.config.getoption("benchmark_disable") or request.config.getoption("benchmark_skip")
    ):
        pytest.skip("pytest-benchmark is switched off")

    def replayed(samples):
        clock = Clock(samples)
        request.node.add_marker(pytest.mark.benchmark(timer=clock))
        benchmark = request.getfixturevalue("benchmark")
        benchmark.pedantic(clock.advance, rounds=len(samples), iterations=1)
        request.config._benchmarksession.benchmarks.remove(benchmark.stats)
        return benchmark.stats.stats.data

    return replayed


@pytest.mark.parametrize(
    "samples",
    [
        [0.1],
        [3e-7, 0.1, 0.1, 0.30000000000000004, 1 / 3, 12345.678901234567],
        list(np.random.default_rng(4).lognormal(-7, 3, 500)),
    ],
    ids=["one", "awkward", "many"],
)
def test_replay_changes_no_digit(replay, samples):
    """pytest-benchmark holds exactly the samples that were recorded, in their order."""
    assert replay(samples) == samples


# What counts


def make_plan(contests, blocks=6):
    return Plan(
        contests=contests,
        dataset="made up",
        dataset_sha256="0" * 64,
        dataset_folder="/nowhere",
        images=6000,
        source="1" * 64,
        blocks=blocks,
        rounds=3,
        threads=1,
        precision="float32",
        seed=0,
        call_limit=60.0,
        time_budget=60.0,
    )


def make_results(rows, blocks=6, dropped=()):
    """Results of a session that never was: {(trial, name): (seconds by block, more of the entry)}.

    Every block has three samples of the same seconds.
    """
    contests, records = {}, [{"fingerprint": {}}]
    for (trial, name), (by_block, more) in rows.items():
        contests[trial] = (*contests.get(trial, ()), name)
        for block, seconds in enumerate(by_block):
            facts = {"versions": {name: "1.0"}, "conventions": SMOOTH}
            entry = {"facts": facts, "samples": [(seconds, seconds)] * 3}
            results = {name: entry | more}
            records.append({"block": block, "trial": str(trial), "results": results})
    rows = [[str(trial), name] for trial, name in dropped]
    records.append({"dropped": rows, "reason": "to keep the time budget"})
    journal = SimpleNamespace(records=json.loads(json.dumps(records)), session="made-up-session")
    return Results(make_plan(contests, blocks), journal)


def duel(first, second, blocks=6, more=None):
    """Results of one training-step trial of the pair, each with its seconds by block."""
    second = (second, more or {})
    return make_results({(STEP, KERAS): (first, {}), (STEP, PYTORCH): second}, blocks)


def test_versions_that_differ_from_a_baseline_s_are_told():
    """Both environments may have the same name, such as those of two branches."""

    def of(**versions):
        return [1.0], {"facts": {"versions": versions, "conventions": SMOOTH}}

    rows = {
        (STEP, KERAS): of(keras="3.15.1", numpy="2.4.6"),
        (STEP, f"{KERAS}@old"): of(keras="3.14.1", numpy="2.4.6"),
        (STEP, PYTORCH): of(torch="2.15.0"),
    }
    results = make_results(rows, blocks=1)
    said = "versions: keras 3.14.1 → 3.15.1, torch none → 2.15.0"
    assert summary.versions_apart(results, "old") == said
    rows = {(STEP, KERAS): of(keras="3.15.1"), (STEP, f"{KERAS}@old"): of(keras="3.15.1")}
    assert summary.versions_apart(make_results(rows, blocks=1), "old").endswith("the same in both")


BAD_PARITY = {"parity": {"loss": 0.5, "weights": 1e-9}}


def test_parity_voids_an_implementation_on_an_architecture_and_device():
    """One wrong answer voids all its operations and batch sizes there; nobody and nowhere else."""
    wider, other = Trial("forward", "mlp", 64, "cpu"), Trial("forward", "lenet5", 128, "cpu")
    gpu = Trial("forward", "mlp", 128, "gpu")
    fine = dict.fromkeys([(STEP, KERAS), (other, PYTORCH), (gpu, PYTORCH)], ([1.0], {}))
    void = dict.fromkeys([(FORWARD, PYTORCH), (wider, PYTORCH)], ([1.0], {}))
    rows = fine | void | {(STEP, PYTORCH): ([1.0], BAD_PARITY)}
    results = make_results(rows, blocks=1)
    struck = {key for key, row in results.rows.items() if row.void}
    assert struck == {(STEP, PYTORCH), *void}
    assert results.rows[FORWARD, PYTORCH].void == [
        "train_step[mlp-b128-cpu]: loss: off by 5.0e-01 from the NumPy reference (allowed: 5e-06)"
    ]


@pytest.mark.parametrize(
    ("accuracy", "valid"), [(0.9, True), (0.5, True), (0.4999, False), (0.1, False), (1.0, False)]
)
def test_accuracy_voids_what_trains(accuracy, valid):
    """Out of its bounds it voids epoch and training step with the reason; the forward row stays."""
    rows = dict.fromkeys([(FORWARD, KERAS), (STEP, KERAS)], ([1.0], {}))
    results = make_results(rows | {(EPOCH, KERAS): ([1.0], {"accuracy": accuracy})}, blocks=1)
    reason = f"test accuracy after one epoch is {accuracy:.4f}, not within [0.5000, 1.0000)"
    assert results.rows[FORWARD, KERAS].valid
    for trial in (STEP, EPOCH):
        assert results.rows[trial, KERAS].accuracy_faults == ([] if valid else [reason])
        assert results.rows[trial, KERAS].valid == valid


def test_one_bad_epoch_is_enough():
    """The median of the blocks' accuracies is shown, but each of them must lie in the bounds."""
    rows = {(EPOCH, KERAS): ([1.0, 1.0, 1.0], {"accuracy": 0.9})}
    results = make_results(rows, blocks=3)
    record = results.journal.records[2]
    record["results"][KERAS]["accuracy"] = 0.1
    row = Results(results.plan, results.journal).rows[EPOCH, KERAS]
    assert row.accuracy == 0.9
    assert len(row.accuracy_faults) == 1
    assert "is 0.1000" in row.accuracy_faults[0]


@pytest.mark.parametrize(
    ("blocks", "more", "reason"),
    [
        (2, {}, "2 of 3 blocks; --resume takes it up"),
        (3, {"unavailable": "no C++ compiler"}, "no C++ compiler"),
    ],
    ids=["interrupted", "unavailable"],
)
def test_incomplete_rows_are_skipped_with_the_reason(blocks, more, reason):
    """A row without all its blocks has no numbers, and says why."""
    row = make_results({(STEP, KERAS): ([1.0] * blocks, more)}, blocks=3).rows[STEP, KERAS]
    assert reason in row.skip
    assert not row.complete


def test_error_in_one_block_is_an_error():
    """What failed once has failed, however many blocks went well."""
    results = make_results({(STEP, KERAS): ([1.0, 1.0], {})}, blocks=2)
    results.journal.records[2]["results"][KERAS]["error"] = "it raised"
    row = Results(results.plan, results.journal).rows[STEP, KERAS]
    assert (row.error, row.complete) == ("it raised", False)


# The panel


def lines_of(results, width=140, colour=False):
    """The panel's lines; with colours, struck-out text follows an escape sequence with a 9."""
    file, system = StringIO(), "standard" if colour else None
    console = Console(file=file, width=width, force_terminal=colour, color_system=system)
    console.print(terminal.panel(results))
    return file.getvalue().splitlines()


def shown(results, width=140, colour=False):
    """What the panel says, wherever it breaks its lines."""
    return " ".join(" ".join(lines_of(results, width, colour)).replace("│", " ").split())


@pytest.mark.parametrize(
    ("keras", "pytorch", "verdict", "interval"),
    [
        (1e-3, 2e-3, "Keras is 2.00× faster", "[2.00, 2.00]"),
        (3e-3, 2e-3, "PyTorch is 1.50× faster", "[1.50, 1.50]"),
        (1e-3, 1.008e-3, "no difference found: at most", "Keras 1.01× or PyTorch 1.00× faster"),
    ],
)
def test_panel_says_who_is_faster(keras, pytorch, verdict, interval):
    """Six blocks give a verdict with its interval; less than the margin is no difference."""
    text = shown(duel([keras] * 6, [pytorch] * 6))
    assert verdict in text
    assert interval in text


def test_panel_finds_no_difference_across_equality():
    """An interval with equality inside names no winner, whatever the median says."""
    text = shown(duel([1.2, 1.2, 1.2, 1.2, 1.2, 0.9], [1.0] * 6))
    assert "no difference found: at most Keras 1.11× or PyTorch 1.20× faster" in text
    assert "is 1." not in text


@pytest.mark.parametrize("blocks", [1, 5])
def test_panel_gives_no_verdict_on_few_blocks(blocks):
    """With fewer than six blocks it shows the ratio and says why that is no verdict."""
    text = shown(duel([5.0] * blocks, [1.0] * blocks, blocks))
    assert f"no verdict: {blocks} of 6 blocks" in text
    assert "Keras/PyTorch 5.00" in text
    assert "faster" not in text


def test_panel_shows_both_of_the_pair():
    """Median, images a second and accuracy stand beside each name."""
    rows = {
        (EPOCH, KERAS): ([2.0] * 6, {"accuracy": 0.9123}),
        (EPOCH, PYTORCH): ([3.0] * 6, {"accuracy": 0.9234}),
        (STEP, KERAS): ([128e-6] * 6, {}),
        (STEP, PYTORCH): ([64e-6] * 6, {}),
    }
    text = shown(make_results(rows))
    for part in ("Keras 2 s", "PyTorch 3 s", "3,000", "2,000", "0.9123", "0.9234"):
        assert part in text
    for part in ("Keras 128 µs", "PyTorch 64 µs", "1,000,000", "2,000,000"):
        assert part in text
    assert "not measured" not in text


def test_panel_says_when_accuracy_was_not_measured():
    """Times without an accuracy are marked as such."""
    assert shown(duel([1.0] * 6, [1.0] * 6)).count("not measured") == 2


def test_panel_strikes_void_rows_out():
    """A void row is struck out with the reason in words, and there is no verdict about it."""
    results = duel([1.0] * 6, [1e-3] * 6, more=BAD_PARITY)
    parts = shown(results, colour=True).split("\x1b[")[1:]
    struck = [part for part in parts if "9" in part.split("m")[0].split(";")]
    assert any("PyTorch 1 ms" in part for part in struck)
    assert not any("Keras" in part for part in struck)
    text = shown(results)
    assert "void: train_step[mlp-b128-cpu] pytorch_eager: train_step[mlp-b128-cpu]: loss" in text
    assert "faster" not in text
    assert "ratio" not in text


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("more", [{}, BAD_PARITY], ids=["valid", "void"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_panel_fits(operation, more, width):
    """No line is wider than the terminal, no name or number is cut, none runs into the next."""
    trial = Trial(operation, "deep_mlp", 128, "cpu")
    rows = {
        (trial, KERAS): ([1.25e-3] * 6, {"accuracy": 0.9712}),
        (trial, PYTORCH): ([2.375e-3] * 6, {"accuracy": 0.9713} | more),
    }
    assert max(map(len, lines_of(make_results(rows), width))) <= width
    text = shown(make_results(rows), width)
    for part in (f"{operation} deep_mlp b128 cpu ", "Keras 1.25 ms ", "PyTorch 2.38 ms "):
        assert part in text
    assert ("Keras is 1.90× faster" in text) != bool(more)
    assert "…" not in text


def test_a_look_after_a_block_has_the_pairs_ratios():
    """As far as both were measured and neither was dropped; and nothing without the pair."""
    lenet = Trial("forward", "lenet5", 128, "cpu")
    rows = {
        (STEP, KERAS): ([1.0], {}),
        (STEP, PYTORCH): ([2.0], {}),
        (FORWARD, KERAS): ([3.0], {}),
        (FORWARD, PYTORCH): ([2.0], {}),
        (lenet, KERAS): ([1.0], {}),
    }
    so_far = "so far, Keras/PyTorch (below 1, Keras is faster): training step mlp 0.50"
    assert terminal.look(make_results(rows)) == f"{so_far}; forward pass mlp 1.50"
    dropped = [(FORWARD, KERAS), (FORWARD, PYTORCH)]
    assert terminal.look(make_results(rows, dropped=dropped)) == so_far
    gpu = Trial("train_step", "mlp", 128, "gpu")
    both = rows | {(gpu, KERAS): ([1.0], {}), (gpu, PYTORCH): ([1.0], {})}
    assert "training step mlp b128 cpu 0.50, mlp b128 gpu 1.00;" in terminal.look(
        make_results(both)
    )
    assert terminal.look(make_results({(STEP, KERAS): ([1.0], {})})) == ""


def test_panel_without_the_pair():
    """Where the pair did not run, the first two that did are compared; alone, there is nobody."""
    others = {(STEP, name): ([seconds] * 6, {}) for name, seconds in (("a", 1.0), ("b", 2.0))}
    assert "a is 2.00× faster" in shown(make_results(others))
    alone = {(STEP, "a"): ([1.0] * 6, {})}
    assert "nothing to compare with" in shown(make_results(alone))
    # The reference is there for the proof and against drift.
    both = alone | {(STEP, "numpy_reference"): ([9.0] * 6, {})}
    assert "nothing to compare with" in shown(make_results(both))


OWED = {
    (STEP, "keras_torch"): ([2e-3] * 6, {}),
    (STEP, PYTORCH): ([1e-3] * 6, {}),
    (STEP, KERAS): ([3e-3] * 6, {}),
    (STEP, "tensorflow_function"): ([2e-3] * 6, {}),
}


def test_panel_names_the_keras_tax():
    """Keras over what its backend takes without it, on each of two backends, with the interval."""
    text = shown(make_results(OWED))
    assert "Keras tax keras_torch/PyTorch 2.00 [2.00, 2.00]" in text
    assert "Keras tax Keras/tensorflow_function 1.50 [1.50, 1.50]" in text
    assert max(map(len, lines_of(make_results(OWED), 80))) <= 80


def test_keras_tax_of_few_blocks_has_no_interval():
    """It is then a look, as the verdict is."""
    rows = {row: (seconds[:2], more) for row, (seconds, more) in OWED.items()}
    text = shown(make_results(rows, blocks=2))
    assert "Keras tax no verdict: 2 of 6 blocks, keras_torch/PyTorch 2.00" in text


@pytest.mark.parametrize("name", ["keras_torch", PYTORCH])
@pytest.mark.parametrize("change", ["void", "incomplete", "not selected"])
def test_no_keras_tax_of_what_does_not_count(name, change):
    """A void or missing row, on either side, leaves its line out, and the other line alone."""
    seconds, _ = OWED[STEP, name]
    row = (seconds, BAD_PARITY) if change == "void" else (seconds[:5], {})
    rows = OWED | {(STEP, name): row}
    if change == "not selected":
        del rows[STEP, name]
    text = shown(make_results(rows))
    assert "Keras tax keras_torch/PyTorch" not in text
    assert "Keras tax Keras/tensorflow_function 1.50" in text


def test_panel_of_nothing():
    """Without a complete row there is no panel."""
    assert terminal.panel(make_results({(STEP, KERAS): ([1.0], {})}, blocks=2)) is None


def test_panel_names_what_was_dropped():
    """What the time budget cut off is listed below the table."""
    rows = {(STEP, KERAS): ([1.0], {}), (EPOCH, KERAS): ([], {})}
    text = shown(make_results(rows, blocks=1, dropped=[(EPOCH, KERAS)]))
    assert "dropped to keep the time budget: epoch[mlp-b128-cpu] keras_tensorflow" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12.345, "12.3 s"),
        (1.0, "1 s"),
        (0.0123, "12.3 ms"),
        (4.56e-5, "45.6 µs"),
        (7.8e-8, "0.078 µs"),
        (9.996e-4, "1 ms"),
        (1234.0, "1234 s"),
    ],
)
def test_durations_read_well(seconds, text):
    """Three digits in the unit that suits, never with an exponent."""
    assert words.format_seconds(seconds) == text


# pytest-benchmark's table


def table(*names, source=None):
    return [{"name": name, "source": source} for name in names]


def test_void_rows_stand_apart():
    """In the table, rows that do not count are moved into a last group that says so."""
    results = duel([1.0] * 6, [1.0] * 6, more=BAD_PARITY)
    good, bad = (f"test_train_step[mlp-b128-cpu-{name}]" for name in PAIR)
    groups = [("steps", table(bad, good)), ("only void", table(bad)), ("else", table("else"))]
    kept = [("steps", table(good)), ("else", table("else"))]
    struck = ("VOID, not to be compared: see the panel below", table(bad, bad))
    assert summary.strike_out(groups, results) == [*kept, struck]


def test_table_without_faults_is_left_alone():
    """No void row, no group for it; nothing measured, nothing touched."""
    groups = [("steps", table(*(f"test_train_step[mlp-b128-cpu-{name}]" for name in PAIR)))]
    assert summary.strike_out(groups, duel([1.0] * 6, [1.0] * 6)) == groups
    assert summary.strike_out(groups, None) is groups


def test_saved_rows_are_not_struck_out():
    """With --benchmark-compare, a fault of this run says nothing against the saved one's row."""
    results = duel([1.0] * 6, [1.0] * 6, more=BAD_PARITY)
    bad = f"test_train_step[mlp-b128-cpu-{PYTORCH}]"
    (_, kept), _ = summary.strike_out(
        [("steps", table(bad, source="0001_unve") + table(bad, source="NOW"))], results
    )
    assert kept == table(bad, source="0001_unve")


# The order of measuring


MANY = [Trial(o, a, 128, "cpu") for a in ("mlp", "deep_mlp", "lenet5") for o in OPERATIONS]


def test_first_block_goes_by_priority():
    """The first block measures first what is kept longest: steps, then forward passes, epochs."""
    rest = ["latency", "startup", "deploy", "feed", "leak", "parts", "data_parallel"]
    order = make_plan(dict.fromkeys(MANY, PAIR)).order(0, "session")
    first = [name for name in ("train_step", "forward", "epoch") for _ in range(3)]
    assert [trial.operation for trial in order] == first + 3 * rest


@pytest.mark.parametrize("block", [0, 1, 5])
def test_every_block_has_every_trial(block):
    """Each block measures each trial once, and in the same order whenever it is taken up again."""
    plan = make_plan(dict.fromkeys(MANY, PAIR))
    order = plan.order(block, "session")
    assert order == plan.order(block, "session")
    assert sorted(map(str, order)) == sorted(map(str, MANY))


def test_later_blocks_are_in_random_order():
    """Blocks and sessions differ in their order, so that no trial always follows the same one."""
    plan = make_plan(dict.fromkeys(MANY, PAIR))
    orders = [plan.order(block, session) for block in range(1, 6) for session in ("a", "b")]
    assert len({tuple(order) for order in orders}) == len(orders)


# The journal


FINGERPRINT = {"trials": {"train_step[mlp-b128-cpu]": list(PAIR)}, "blocks": 6, "host": "here"}
TRIAL = {"trial": "train_step[mlp-b128-cpu]", "seconds": 2.5}
SAMPLED = {
    "cost": 0.5,
    "facts": {"versions": {"numpy": "2"}, "python": "3", "in_force": {}, "conventions": SMOOTH},
    "recipe": {"seed": 0},
    "compilation": "none",
    "first_call_seconds": 0.1,
    "samples": [[1 / 3, 3e-7]],
    "parity": {"loss": float("inf")},
    "foreign_cpu": None,
}
RECORD = TRIAL | {"block": 0, "results": {PAIR[0]: SAMPLED, PAIR[1]: {"cost": 0.1, "error": "x"}}}
NEXT = TRIAL | {"block": 1, "results": {PAIR[1]: {"cost": 0.0, "unavailable": "x"}}}


@pytest.fixture
def begin(tmp_path):
    """Create or resume a session's journal under a fresh folder, and leave it to others."""

    def start(how, fingerprint=FINGERPRINT):
        journal = how(tmp_path, fingerprint)
        journal.close()
        return journal

    return start


def test_journal_gives_back_what_it_was_given(begin):
    """Every digit of every record survives the way to the disk and back."""
    journal = begin(journals.create)
    journal.append(RECORD)
    again = begin(journals.resume)
    ours = {"controller": journals.controller()}
    assert journal.records == [{"fingerprint": FINGERPRINT} | ours, RECORD]
    assert again.records == [*journal.records, ours]
    assert again.session == journal.session


def test_journal_is_on_the_disk_at_once(begin):
    """A record can be read by others as soon as `append` returns, before anything is closed."""
    journal = begin(journals.create)
    journal.append(RECORD)
    assert json.loads((journal.folder / "journal.jsonl").read_text().splitlines()[-1]) == RECORD


@pytest.mark.parametrize("torn", [b"{", b'{"block": 1, "tr', b'{"block": 1}', b'{"\xc2'])
def test_torn_last_line_is_forgotten(begin, torn):
    """A line that a kill cut short is removed; what is written next begins on a line of its own."""
    journal = begin(journals.create)
    journal.append(RECORD)
    with (journal.folder / "journal.jsonl").open("ab") as file:
        file.write(torn)
    again = begin(journals.resume)
    assert again.records[1:-1] == [RECORD]
    again.append(NEXT)
    assert begin(journals.resume).records[1::2] == [RECORD, NEXT]


def test_finished_session_is_not_resumed(begin):
    """There is nothing to take up without a session, nor when each one was finished."""
    with pytest.raises(journals.JournalError, match="nothing to resume"):
        begin(journals.resume)
    begin(journals.create).finish()
    with pytest.raises(journals.JournalError, match="nothing to resume"):
        begin(journals.resume)


def test_newest_unfinished_session_is_resumed(begin, tmp_path):
    """Of several sessions the newest that has no end is taken up."""
    for name, end in (("1", {}), ("2", {}), ("3", {"finished": True})):
        folder = tmp_path / journals.FOLDER / name
        folder.mkdir(parents=True)
        lines = [{"fingerprint": FINGERPRINT}, RECORD, end]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "journal.jsonl").write_text(text)
    assert begin(journals.resume).session == "2"


@pytest.mark.parametrize("changed", FINGERPRINT)
def test_session_of_another_kind_is_not_resumed(begin, changed):
    """Whatever the fingerprint holds must be the same; the message names what is not."""
    begin(journals.create)
    with pytest.raises(journals.JournalError, match=f'{changed} was .*, is now "changed"'):
        begin(journals.resume, FINGERPRINT | {changed: "changed"})
