"""How much there is to write and to know: counted in the tasks' files, without running them.

Counted is a file without its docstring, its comments and what it does when it is run. Lines and
tokens of imports are not counted either: what they bring is counted where it is used.
"""

import ast
import tokenize
from collections.abc import Sequence
from io import StringIO
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

FOLDERS = {name: Path(__file__).parent / f"{name}_tasks" for name in ("keras", "pytorch")}
FRAMEWORKS = {"keras", "tensorflow", "torch"}
TASKS = {
    "define": "Define a network",
    "train": "Train it",
    "evaluate": "Evaluate it",
    "save_and_load": "Save and load it",
    "custom_training_step": "A custom training step",
    "custom_layer": "A custom layer",
    "gradient": "Inspect a gradient",
    "learning_rate_schedule": "A learning-rate schedule",
}
BETWEEN = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


def tasks() -> list[dict[str, Any]]:
    """What the JSON file has of every task: its title, and the measures and code of both sides."""
    return [
        {"task": task, "title": title} | {side: measures(source(side, task)) for side in FOLDERS}
        for task, title in TASKS.items()
    ]


def source(side: str, task: str) -> str:
    """The text of a task's file."""
    return (FOLDERS[side] / f"{task}.py").read_text(encoding="utf-8")


def measures(text: str) -> dict[str, Any]:
    """All measures of a file's text, and the part of it that they are of."""
    code = counted(text)
    return {
        "logical_lines": logical_lines(code),
        "api_names": len(api_names(code)),
        "api_words": len(api_words(code)),
        "tokens": tokens(code),
        "nesting": nesting(code),
        "code": code,
    }


def counted(text: str) -> str:
    """A file's text without its docstring and the block under `if __name__ == "__main__"`."""
    nodes = ast.parse(text).body
    return without(text, [node for node in nodes if is_docstring(node) or is_script(node)])


def without_imports(code: str) -> str:
    """The code without its import statements."""
    nodes = ast.walk(ast.parse(code))
    return without(code, [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)])


def without(text: str, dropped: Sequence[ast.stmt]) -> str:
    """The text without the lines of some of its statements."""
    lines = text.splitlines()
    for node in dropped:
        for at in range(node.lineno - 1, node.end_lineno or node.lineno):
            lines[at] = ""
    return "\n".join(lines).strip() + "\n"


def is_docstring(node: ast.stmt) -> bool:
    """Whether a statement is a string and nothing else."""
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False


def is_script(node: ast.stmt) -> bool:
    """Whether a statement is what the file does when it is run."""
    match node:
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return True
    return False


def logical_lines(code: str) -> int:
    """Python's logical lines: a statement over five lines is one, a comment is none."""
    return sum(token.type == tokenize.NEWLINE for token in lexed(without_imports(code)))


def tokens(code: str) -> int:
    """Names, numbers, strings, operators and brackets; a line's length and its breaks are free.

    So is a comma before a closing bracket: a formatter sets it where it breaks a line.
    """
    counted = [token for token in lexed(without_imports(code)) if token.type not in BETWEEN]
    trailing = [one.string == "," and other.string in ")]}" for one, other in pairwise(counted)]
    return len(counted) - sum(trailing)


def lexed(code: str) -> list[tokenize.TokenInfo]:
    """Python's own tokens."""
    return list(tokenize.generate_tokens(StringIO(code).readline))


def nesting(code: str) -> int:
    """How many definitions, loops and other blocks the innermost statement is within."""
    steps = {tokenize.INDENT: 1, tokenize.DEDENT: -1}
    return max(accumulate(steps.get(token.type, 0) for token in lexed(code)))


def api_names(code: str) -> set[str]:
    """The different names that must be known from the framework.

    These are: what is reached through an import, `keras.layers.Dense` being one name; attributes
    and methods of everything else, such as `.fit`; and methods that the framework will call, such
    as `.forward`. An attribute that the file itself sets on `self` is not counted. Which object an
    attribute belongs to cannot be seen in the text: one of a NumPy array counts, too.
    """
    finder = found(code)
    return finder.names - finder.own


def api_words(code: str) -> set[str]:
    """The different words that must be known besides.

    These are keywords of calls, such as `from_logits=`, and words handed over as strings, such as
    'adam'. What is handed over by its position is known as well, and cannot be counted.
    """
    return found(code).words


def found(code: str) -> "Finder":
    """All names and words of a text."""
    finder = Finder()
    finder.visit(ast.parse(code))
    return finder


class Finder(ast.NodeVisitor):
    """Collects `names`, from imports downwards, the file's `own` attributes, and `words`."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.words: set[str] = set()
        self.own: set[str] = set()
        self.imports: dict[str, str] = {}

    def visit_Import(self, node: ast.Import) -> None:
        """`import tensorflow as tf`."""
        self.imports |= {alias.asname or alias.name: alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """`from torch import nn`."""
        for alias in node.names:
            self.imports[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def visit_Name(self, node: ast.Name) -> None:
        """A name that was imported."""
        self.reach(self.imports.get(node.id, ""))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """`nn.Linear` as a whole, but of `parameter.grad.numpy` each attribute by itself."""
        root, *attributes = ast.unparse(node).split(".")
        if root in self.imports and all(map(str.isidentifier, attributes)):
            self.reach(".".join((self.imports[root], *attributes)))
            return
        is_set = isinstance(node.ctx, ast.Store) and root == "self" and len(attributes) == 1
        names = self.own if is_set else self.names
        if not node.attr.startswith("__"):
            names.add(f".{node.attr}")
        self.visit(node.value)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """A subclass of a framework's class, and its methods."""
        methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
        self.names |= {f".{name}" for name in methods if not name.startswith("__")}
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Keywords, and strings among the arguments."""
        self.words |= {f"{keyword.arg}=" for keyword in node.keywords if keyword.arg}
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        parts = (part for value in values for part in ast.walk(value))
        self.words |= {
            repr(part.value)
            for part in parts
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
        }
        self.generic_visit(node)

    def reach(self, name: str) -> None:
        """Count a full name if it is a framework's."""
        if name.split(".")[0] in FRAMEWORKS and "." in name:
            self.names.add(name)
