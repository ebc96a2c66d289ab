"""Imports: who imports a framework, who must not, and that a new implementation is one new file."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest

from benchmarks.measuring import workers
from benchmarks.measuring.workers import ROOT, WorkerError, WorkerProcess, check_handshake
from mnist_models import implementations, networks
from mnist_models.implementations import names
from mnist_models.isolation import FRAMEWORKS
from mnist_models.worker import source_hash

pytestmark = pytest.mark.slow
LIMIT = 120.0
# What is allowed to import a framework.
WITH_FRAMEWORK = (
    *(
        "implementations/*.py",
        "networks/*/in_*.py",
        "defaults/in_*.py",
        "knobs/in_*.py",
        "exports/in_*.py",
        "feeds/in_*.py",
        "repeated/in_*.py",
        "profiles/in_*.py",
        "parallel/in_*.py",
    ),
    *("keras_*.py", "pytorch_w*.py"),
)
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("mnist_models", "benchmarks")
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.stem == "__init__" or not any(map(path.match, WITH_FRAMEWORK))
]
# Prints which frameworks are there for the first time after each of the modules.
IMPORT = """
import importlib, json, sys
frameworks, found = json.loads(sys.argv[1]), {}
for module in sys.argv[2:]:
    before = set(sys.modules)
    importlib.import_module(module)
    found[module] = [name for name in frameworks if name in sys.modules and name not in before]
print(json.dumps(found))
"""


def run(folder, *arguments):
    command = [sys.executable, *arguments]
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def copy(folder, *packages):
    for package in packages:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    return folder / "mnist_models" / "implementations"


# Without a framework


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Which framework each module imports, found out in one fresh process; one is an offender."""
    folder = tmp_path_factory.mktemp("importing")
    (folder / "offender.py").write_text("import jax\n")
    (folder / "jax.py").touch()
    frameworks = json.dumps([*FRAMEWORKS, "keras"])
    paths = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]"
    return json.loads(run(folder, "-c", paths + IMPORT, frameworks, *MODULES, "offender"))


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_no_framework(imported, module):
    """Looking at data or results needs no framework, and waits for none."""
    assert imported[module] == []


def test_module_that_imports_a_framework_is_noticed(imported):
    """The check above can fail."""
    assert imported["offender"] == ["jax"]


# One framework in each worker


@pytest.mark.parametrize("implementation", names())
def test_worker_holds_its_own_framework_alone(worker, implementation):
    """Another one, though it is installed, would take part in threads, memory and start-up."""
    assert worker(implementation).facts["other_frameworks"] == []


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A function that starts a worker on the reference with something more in its `configure`.

    It runs a copy of the package, beside which lies an empty framework called jax.
    """
    root = tmp_path_factory.mktemp("planted")
    folder = copy(root, "mnist_models")
    (root / "jax.py").touch()
    reference = (folder / "numpy_reference.py").read_text(encoding="utf-8")
    started = []

    def start(name, line):
        head, configure, rest = reference.partition("(threads: int) -> dict[str, object]:\n")
        (folder / f"{name}.py").write_text(f"{head}{configure}    {line}\n{rest}", encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(workers, "ROOT", root)
            started.append(WorkerProcess(name, "cpu", 1, root))
        return started[-1], started[-1].ask("start", name, "cpu", 1, "float32", limit=LIMIT)

    yield start
    for process in started:
        process.kill()


def test_worker_with_a_second_framework_is_refused(planted):
    """An implementation that imports one of its own accord, if only inside a function."""
    process, facts = planted("smuggling", "import jax")
    with pytest.raises(WorkerError, match="smuggling: its worker also imported jax"):
        check_handshake(process, facts | {"source": source_hash()})


@pytest.mark.parametrize("package", ["jax", "sklearn"])
def test_worker_cannot_find_a_second_framework(planted, package):
    """What an implementation does not name in an import statement is not there for its worker."""
    start, rest = package[0], package[1:]
    with pytest.raises(WorkerError, match=f"No module named '{package}'") as caught:
        planted("hiding", f"__import__('{start}' + '{rest}')")
    assert caught.value.kind == "ModuleNotFoundError"


def test_worker_with_other_source_is_refused(planted):
    """Such as a stale copy of this package in its environment, or one with a file more."""
    process, facts = planted("harmless", "pass")
    with pytest.raises(WorkerError, match="harmless: its worker runs other source code"):
        check_handshake(process, facts)


def test_worker_with_another_protocol_is_refused(worker):
    """It would take a request for something else."""
    witness = worker("numpy_reference")
    with pytest.raises(WorkerError, match="numpy_reference: its worker speaks protocol 0"):
        check_handshake(witness.process, witness.facts | {"protocol": 0})


# One new file, one new folder


NEW_OPERATION = """

class Answer(Operation):
    name, title, counted, rank = "answer", "answer", "answers", 3
    questions = ("forward",)

    def call(self, trainer, images, labels):
        return trainer.probabilities(images)


OPERATIONS["answer"] = Answer()
"""


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """A copy of the repository with an implementation, a network and an operation more."""
    root = tmp_path_factory.mktemp("newcomer")
    folder = copy(root, "mnist_models", "benchmarks")
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copy(folder / "numpy_reference.py", folder / "newcomer.py")
    networks = root / "mnist_models" / "networks"
    shutil.copytree(networks / "mlp", networks / "small")
    for name in ("in_keras", "in_pytorch", "in_numpy"):
        path = networks / "small" / f"{name}.py"
        path.write_text(path.read_text(encoding="utf-8").replace("512", "32"), encoding="utf-8")
    operations = root / "mnist_models" / "operations" / "__init__.py"
    operations.write_text(operations.read_text(encoding="utf-8") + NEW_OPERATION, encoding="utf-8")
    step = (root / "benchmarks" / "test_train_step.py").read_text(encoding="utf-8")
    (root / "benchmarks" / "test_answer.py").write_text(step.replace("train_step", "answer"))
    return root


def test_what_is_new_is_listed(newcomer):
    """In `names()`, for which nothing is registered."""
    code = "from mnist_models import implementations, networks;"
    code += "print(*implementations.names(), *networks.names())"
    known = {*names(), "newcomer", *networks.names(), "small"}
    assert {*run(newcomer, "-c", code).split()} == known


def test_what_is_new_is_collected(newcomer):
    """In the ids of every timed test but the epoch's, which is the pair's unless asked for."""
    ids = run(newcomer, "-m", "pytest", "benchmarks", "--co", "-q", "-p", "no:cacheprovider")
    assert "::test_train_step[mlp-b128-cpu-newcomer]\n" in ids
    assert "::test_forward[lenet5-b128-cpu-newcomer]\n" in ids
    assert "::test_epoch[small-b128-cpu-keras_tensorflow]\n" in ids
    assert "::test_answer[small-b128-cpu-newcomer]\n" in ids


def test_what_is_new_is_measured_and_saved(newcomer, dataset):
    """Held against the reference like everything else, without a word about it anywhere else."""
    options = "--implementation=newcomer --implementation=pytorch_eager --device=cpu --threads=1"
    options += " --architecture=small --quick --benchmark-json=saved.json --report=report"
    options += f" -k 'train_step or answer' --dataset={dataset.folder}"
    shown = run(newcomer, "-m", "pytest", "benchmarks", *shlex.split(options))
    saved = json.loads((newcomer / "saved.json").read_text())["benchmarks"]
    for operation, kind in (("answer", "probabilities"), ("train_step", "gradients")):
        assert f"{operation} small b128 cpu" in shown
        for name in ("newcomer", "pytorch_eager"):
            test = f"test_{operation}[small-b128-cpu-{name}]"
            [row] = [row for row in saved if row["name"] == test]
            assert row["extra_info"]["parity"][kind] < 1e-5
            assert min(row["stats"]["data"]) > 0
    assert "Every answer that was timed" in (newcomer / "report" / "index.html").read_text()


# Floors


def floors(folder):
    """What import-linter says of the packages in a folder, by pyproject.toml's contracts."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    return subprocess.run(
        [*command, "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("benchmarks/__init__.py", "", ""),
        (
            "benchmarks/measuring/load.py",
            "def late():\n    from benchmarks.reporting import words\n",
            "benchmarks.measuring is not allowed to import benchmarks.reporting",
        ),
        ("mnist_models/parity.py", "import mnist_models.worker\n", "mnist_models.worker"),
        (
            "benchmarks/reporting/words.py",
            "import pytest\n",
            "benchmarks.reporting.words -> pytest",
        ),
    ],
)
def test_no_import_runs_upwards(tmp_path, file, line, broken):
    """Nor does one that hides in a function."""
    copy(tmp_path, "mnist_models", "benchmarks")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / file
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{line}", encoding="utf-8")
    ended = floors(tmp_path)
    assert ended.returncode == bool(broken), ended.stdout + ended.stderr
    assert broken in ended.stdout


def test_a_broken_distribution_of_others_ends_nothing(monkeypatch):
    """Only those that are wanted are asked for their versions."""
    known = {"pytest": ["pytest"], "other": ["no-such-distribution"]}
    monkeypatch.setattr(implementations, "packages_distributions", lambda: known)
    monkeypatch.setattr(implementations, "distributions", implementations.distributions.__wrapped__)
    found = implementations.installed(["pytest", "absent"])
    assert found == {"pytest": f"pytest {pytest.__version__}", "absent": ""}
