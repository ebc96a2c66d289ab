"""The twins: the pair's files say the same names in the same order, and all keep the contract."""

import ast

import pytest

from mnist_models.implementations import FOLDER, PAIR, names


def source(name):
    return (FOLDER / f"{name}.py").read_text(encoding="utf-8")


def parameters(function):
    return [argument.arg for argument in function.args.args if argument.arg != "self"]


def public(body):
    """What a module or class defines, in order: functions with parameters, values, classes."""
    found = {}
    for node in body:
        match node:
            case ast.FunctionDef(name=name):
                found[name] = parameters(node)
            case ast.ClassDef(name=name):
                found[name] = "class"
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = "value"
    return {name: what for name, what in found.items() if name == "__init__" or name[0] != "_"}


def class_named(name, module):
    (found,) = (n for n in module.body if isinstance(n, ast.ClassDef) and n.name == name)
    return found


def bound(module):
    """Every name at module level, imported ones included."""
    imports = [node for node in module.body if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {alias.asname or alias.name for node in imports for alias in node.names}
    return imported | public(module.body).keys()


# Keras's backends share their Trainer, which asks the backend for two things more.
BODY = (FOLDER.parent / "keras_trainer.py").read_text(encoding="utf-8")
OF_THE_BACKEND = {"device_of", "ordered"}


def outline(text, body=""):
    """Names and parameters of a module, and of its Trainer with that of `body`, in order."""
    module = ast.parse(text)
    methods = public(class_named("Trainer", ast.parse(body)).body) if body else {}
    own = public(class_named("Trainer", module).body)
    methods |= {name: what for name, what in own.items() if not (body and name in OF_THE_BACKEND)}
    functions = public(module.body)
    for found, optional in ((functions, "DEFAULTS"), (methods, "compilations")):
        found.pop(optional, None)
    if "CONVENTIONS" in bound(module):
        functions = {"CONVENTIONS": "value"} | functions
    return [list(found.items()) for found in (functions, methods)]


CONTRACT = ast.parse(source("__init__"))
MODULE = public(class_named("Implementation", CONTRACT).body) | {"Trainer": "class"}
TRAINER = public(class_named("Trainer", CONTRACT).body)
METHODS = {name: what for name, what in TRAINER.items() if what != "value"}


def test_the_contract_is_read_as_it_is_written():
    """A reader that found nothing in the contract would find it kept by everybody."""
    functions = ["versions", "devices", "configure", "set_precision", "peak_gpu_memory"]
    assert list(MODULE) == ["CONVENTIONS", *functions, "Trainer"]
    assert METHODS["__init__"] == ["network", "recipe", "device", "dtype"]
    assert METHODS["train_epoch"] == ["images", "labels", "order", "trained"]


TEXTS = {PAIR[0]: (source(PAIR[0]), BODY), PAIR[1]: (source(PAIR[1]),)}


@pytest.mark.parametrize("name", PAIR)
def test_each_of_the_pair_is_the_contract_and_nothing_else(name):
    """The same names in the same order with the same parameters: they read side by side."""
    assert outline(*TEXTS[name]) == [list(MODULE.items()), list(METHODS.items())]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("CONVENTIONS", "CONVENTION"),
        ("def versions", "def releases"),
        ("def devices()", "def devices(kind)"),
        ("class Trainer", "def helper() -> None:\n    pass\n\n\nclass Trainer"),
        ("def fetch(self, tensor", "def fetch(self, array"),
        ("def reset", "def renew"),
        ("def synchronize", "def helper(self) -> None:\n        pass\n\n    def synchronize"),
    ],
)
@pytest.mark.parametrize("name", PAIR)
def test_a_pair_that_drifts_apart_is_noticed(name, old, new):
    """Whether a name or a parameter is another one, or something was added."""
    texts = [*TEXTS[name]]
    place = next(place for place, text in enumerate(texts) if old in text)
    texts[place] = texts[place].replace(old, new)
    assert outline(*texts) != outline(*TEXTS[name])


@pytest.mark.parametrize("name", names())
def test_an_implementation_keeps_the_contract(name):
    """It has every name, and every method unless it builds on another's Trainer."""
    module = ast.parse(source(name))
    trainer = class_named("Trainer", module)
    methods = {node.name: node for node in trainer.body if isinstance(node, ast.FunctionDef)}
    assert bound(module) >= MODULE.keys()
    assert trainer.bases or methods.keys() >= METHODS.keys()
    for method in METHODS.keys() & methods.keys():
        given, required = parameters(methods[method]), METHODS[method]
        assert given[: len(required)] == required
        assert len(given) - len(required) <= len(methods[method].args.defaults)
