"""How times grow with the batch: the line, its parts, and where two rows meet."""

from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from benchmarks.commands import experiments, gates, grow
from benchmarks.commands.grow import BATCHES, UNITS, checked, checked_units
from benchmarks.comparing.growth import Growth, Row, crossing, line, shares, winners
from benchmarks.reporting.growth import crossings, text
from mnist_models import limits, networks

SIZES = (1, 16, 128, 1024)
CHANCE = np.random.default_rng(4)


def row(fixed, each, implementation="keras_tensorflow", bend=1.0, noise=0.01, sizes=SIZES):
    """A row whose time is a line, times `bend` at the largest size."""
    seconds = {}
    for size in sizes:
        middle = (fixed + size * each) * (bend if size == max(sizes) else 1.0)
        seconds[str(size)] = [middle * float(one) for one in CHANCE.normal(1, noise, 6)]
    return Row(
        operation="train_step", architecture="mlp", implementation=implementation, seconds=seconds
    )


def test_a_line_is_found_again():
    found = line(row(1e-3, 2e-5))
    for part, true in ((found.fixed, 1e-3), (found.each, 2e-5), (found.half, 50)):
        assert part.low < part.value < part.high
        assert part.value == pytest.approx(true, rel=0.03)
    assert found.straight


@pytest.mark.parametrize(("fixed", "each"), [(0.0, 1e-5), (1e-3, 0.0)])
def test_neither_part_is_below_nothing(fixed, each):
    found = line(row(fixed, each))
    assert found.fixed.value >= 0
    assert found.each.value >= 0
    assert found.straight


def test_what_is_no_line_is_told():
    found = line(row(1e-3, 2e-5, bend=2.0))
    assert not found.straight
    assert "is off by up to" in said(row(1e-3, 2e-5, bend=2.0), row(1e-3, 2e-5))


def said(*rows, **more):
    rows[-1].implementation = "pytorch_eager"
    more = {"dataset": "mnist", "machine": "a CPU", "versions": {}, "source": ""} | more
    return text(Growth(rows=list(rows), **more))


def test_two_rows_meet_where_their_lines_do():
    keras, pytorch = row(1e-3, 1e-5), row(0.4e-3, 2e-5)  # at 60 images
    found = crossing(keras, pytorch)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(60, rel=0.3)
    words = "Keras is faster at 128, 1,024; PyTorch is faster at 1, 16; both are equally fast at "
    assert words in said(keras, pytorch)
    assert ", interpolated between 16 and 128." in said(keras, pytorch)


def test_rows_that_do_not_meet_are_told_apart():
    keras, pytorch = row(1e-3, 2e-5), row(0.5e-3, 1e-5)
    assert crossing(keras, pytorch) is None
    assert "PyTorch is faster at every size from 1 to 1,024." in said(keras, pytorch)


def test_rows_that_touch_more_than_once_have_no_crossing():
    keras = row(1e-3, 1e-5, noise=0.0)
    other = {size: list(values) for size, values in keras.seconds.items()}
    for size, factor in zip(other, (0.9, 1.1, 0.9, 1.1), strict=True):
        other[size] = [value * factor for value in other[size]]
    pytorch = keras.model_copy(update={"seconds": other})
    assert crossing(keras, pytorch) is None
    words = "Keras is faster at 16, 1,024; PyTorch is faster at 1, 128."
    assert words in said(keras, pytorch)


def test_rows_meet_between_sizes_that_are_decided():
    """What is equal beside them hides nothing."""
    keras, pytorch = row(1e-3, 1e-5, noise=0.0), row(0.4e-3, 2e-5, noise=0.0)
    pytorch.seconds["1024"] = list(keras.seconds["1024"])
    assert winners(keras, pytorch) == [1, 1, 0, None]
    assert crossing(keras, pytorch).value == pytest.approx(60, rel=0.3)


def test_equal_rows_have_no_winner():
    """As everywhere, the whole interval must be beyond 1 %."""
    keras, pytorch = row(1e-3, 1e-5), row(1.001e-3, 1e-5)
    assert winners(keras, pytorch) == [None] * 4
    assert crossing(keras, pytorch) is None
    assert "Neither is surely faster at any size." in said(keras, pytorch)


def test_what_was_measured_is_not_measured_again(tmp_path, monkeypatch):
    """Nor thrown away for other batch sizes."""
    dataset, output = SimpleNamespace(name="mnist"), tmp_path / "growth.json"
    monkeypatch.setattr(experiments, "machine", lambda: "a CPU")
    made = row(1e-3, 1e-5).model_copy(update={"asked": [1, 2, 3]})
    monkeypatch.setattr(grow, "measured", lambda *arguments: [made])
    readings = iter([{"products": 3e9}, {"products": 5e9}])
    monkeypatch.setattr(grow, "limits", lambda threads: next(readings))
    console = Console(quiet=True)
    for _ in range(2):
        found = grow.grow(dataset, ["mlp"], [1, 2, 3], output, tmp_path, console)
        assert len(found.rows) == 1
        assert found.limits == {"products": 5e9}
    with pytest.raises(ValueError, match="has batches of 1, 2, 3 for mlp; give another --output"):
        grow.grow(dataset, ["mlp"], [1, 2, 4], output, tmp_path, console)


def test_an_operation_that_does_not_fit_costs_the_other_nothing(tmp_path, monkeypatch, capsys):
    """On a slow machine, forward passes are dropped to keep the time."""

    def gate(dataset, here, others, rows, *arguments, **more):
        lacks = {one: "dropped to keep the time budget" for one in rows if one[0].operation in out}
        blocks = {block: [0.01] for block in range(6)}
        made = {
            (trial, name): SimpleNamespace(
                trial=trial,
                name=name,
                fault=lacks.get((trial, name), ""),
                by_block=lambda: blocks,
            )
            for trial, name in rows
        }
        return SimpleNamespace(rows=made)

    monkeypatch.setattr(gates, "gate", gate)
    console = Console(markup=False, soft_wrap=True)
    about = None, "mlp", [1, 4, 16], tmp_path, console, 1
    out = ("forward",)
    found = grow.measured(*about)
    assert [(one.operation, one.implementation) for one in found] == [
        ("train_step", "keras_tensorflow"),
        ("train_step", "pytorch_eager"),
    ]
    said = capsys.readouterr().out
    assert "left out: forward[mlp-b16-cpu]" in said
    assert "left out: forward pass, mlp: fewer than 3 sizes" in said
    out = ("forward", "train_step")
    with pytest.raises(ValueError, match="fewer than 3 sizes"):
        grow.measured(*about)


def test_images_a_second_are_shown_as_measured():
    lines = said(row(0.0, 1e-5, noise=0.0), row(0.0, 2e-5, noise=0.0)).splitlines()
    assert "| images a second in batches of | 1 | 16 | 128 | 1,024 |" in lines
    assert "| Keras | 100,000 | 100,000 | 100,000 | 100,000 |" in lines


def test_batch_sizes_are_checked():
    dataset = SimpleNamespace(train_labels=range(1500), test_labels=range(300))
    assert checked(None, dataset) == [size for size in BATCHES if size <= 300]
    assert checked([64, 1, 16, 64], dataset) == [1, 16, 64]
    with pytest.raises(ValueError, match="give three or more"):
        checked([1, 128], dataset)
    with pytest.raises(ValueError, match="--batch-size 301: must be from 1 to 300"):
        checked([1, 2, 301], dataset)


def test_the_share_of_the_limit_is_that_of_the_products():
    """The mlp multiplies 784×512 and 512×10 numbers; its images need no gradient."""
    network = networks.load("mlp")
    first, last = 2 * 784 * 512, 2 * 512 * 10
    assert network.flops == first + last
    assert network.step_flops == 2 * first + 3 * last
    step = row(0.0, 1e-5, noise=0.0)
    assert shares(step, 1e5 * network.step_flops) == pytest.approx([1.0] * 4)
    forward = step.model_copy(update={"operation": "forward"})
    assert shares(forward, 2e5 * network.flops) == pytest.approx([0.5] * 4)
    limits = {"products": 2e5 * network.step_flops, "memory": 2e10}
    lines = said(step, row(0.0, 2e-5, noise=0.0), limits=limits, threads=2).splitlines()
    assert "| Keras, of the CPU's limit | 50% | 50% | 50% | 50% |" in lines
    assert "; 2 thread(s). At most, this CPU computes " in lines[-1]
    assert "copies 20 GB/s" in lines[-1]


def session(*pairs):
    """An experiment with the rows of training steps of each pair, the first mlp's."""
    names = "mlp", "lenet5"
    rows = [one for pair in pairs for one in pair]
    for place, one in enumerate(rows):
        one.architecture = names[place // 2]
    return Growth(rows=rows, dataset="mnist", machine="a CPU", versions={}, source="")


def test_two_sessions_agree_where_their_intervals_overlap():
    """They meet at 60 images, in one case at 150; lenet5's never meet."""

    def pair():
        return row(1e-3, 1e-5), row(0.4e-3, 2e-5, "pytorch_eager")

    apart = row(1e-3, 2e-5), row(0.4e-3, 1e-5, "pytorch_eager")
    first, again = (session(pair(), apart) for _ in range(2))
    later = session((row(1e-3, 1e-5), row(0.4e-3, 1.4e-5, "pytorch_eager")), apart)
    heads, _, mlp, lenet5 = crossings([first, again])
    assert heads == "|  | first session | second session | intervals |"
    assert mlp.startswith("| training step, mlp | 6")
    assert mlp.endswith(" | overlap |")
    assert lenet5 == "| training step, lenet5 | nowhere surely | nowhere surely |  |"
    assert crossings([first, later])[2].endswith(" | do not overlap |")


def test_widths_are_checked():
    assert checked_units([], ["mlp"]) == [*UNITS]
    assert checked_units([512, 64, 128, 64], ["mlp"]) == [64, 128, 512]
    for units, names, said in (
        ([64, 128], ["mlp"], "give three or more"),
        ([64, 128, 0], ["mlp"], "--units 0: must be from 1 to 32768"),
        ([], ["lenet5"], "--architecture lenet5: --units is for mlp alone"),
    ):
        with pytest.raises(ValueError, match=said):
            checked_units(units, names)


def test_a_network_of_another_width_has_a_name_of_its_own():
    wide = networks.load("mlp_2048")
    assert wide.name == "mlp_2048"
    assert wide.weights["hidden/kernel"].shape == (784, 2048)
    assert "mlp_2048" not in networks.names()
    for name in ("mlp_0", "mlp_", "mlp_-3", "mlp_0512", "mlp_٣", "lenet5_64", "none_64"):
        with pytest.raises(KeyError, match="no network is called"):
            networks.load(name)


def by_width(*rows):
    return [one.model_copy(update={"along": "units", "architecture": "mlp"}) for one in rows]


def test_by_width_the_images_are_those_of_the_batch():
    """And the share of the limit is that of each width's own network."""
    [keras] = by_width(row(0.0, 1e-5, noise=0.0))
    assert keras.rates() == pytest.approx([128 / (size * 1e-5) for size in SIZES])
    flops = [networks.load(f"mlp_{size}").step_flops for size in SIZES]
    expected = [rate * each / 1e12 for rate, each in zip(keras.rates(), flops, strict=True)]
    assert shares(keras, 1e12) == pytest.approx(expected)


def test_growth_by_width_is_told():
    found = said(*by_width(row(1e-3, 1e-5), row(0.4e-3, 2e-5)))
    assert "### training step, mlp, by the width of its hidden layer" in found
    assert "|  | a call costs | each unit adds | largest width with half overhead |" in found
    assert "| images a second in batches of 128, by width | 1 | 16 | 128 | 1,024 |" in found
    assert "both are equally fast at about" in found


@pytest.mark.slow
def test_the_pair_is_measured_at_every_width(dataset, tmp_path, monkeypatch):
    """In one session, each width held against the reference."""
    monkeypatch.setattr(gates, "BLOCKS", 1)
    found = grow.grow(
        dataset,
        ["mlp"],
        [16, 32, 64],
        tmp_path / "g.json",
        tmp_path,
        Console(quiet=True),
        1,
        "units",
    )
    assert [(one.along, one.architecture, one.sizes()) for one in found.rows] == [
        ("units", "mlp", [16, 32, 64])
    ] * 4


@pytest.mark.slow
def test_the_limits_of_this_machine_are_measured_in_a_worker(monkeypatch):
    found = grow.limits(1)
    assert found.keys() == {"products", "memory"}
    assert 1e8 < found["products"] < 1e14
    assert 1e8 < found["memory"] < 1e13


def test_what_others_slow_down_is_no_limit(monkeypatch):
    """The fastest call counts, and the first one does not."""
    moments = iter([0.0, 3.0, 10.0, 11.0, 20.0, 25.0])
    monkeypatch.setattr(limits, "perf_counter", lambda: next(moments))
    monkeypatch.setattr(limits, "REPEATS", 3)
    calls: list[int] = []
    assert limits.least(lambda: calls.append(1)) == 1.0
    assert len(calls) == 4
