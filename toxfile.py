"""tox's part of the version grid: its environments and their pins come from versions.toml.

What these environments do is in tox.ini, under [testenv].
"""

from tox.config.loader.memory import MemoryLoader
from tox.config.sets import ConfigSet
from tox.plugin import impl
from tox.report import HandledError
from tox.session.state import State
from tox.tox_env.python.pip.req_file import PythonDeps

from benchmarks.commands import versions

# Of tox's commands, those that install nothing.
LOOKING = ("list", "l", "config", "c", "depends", "de", "schema", "man")


@impl(optionalhook=True)  # tox before 4.29 lacks it: it shall run tox.ini's `requires` instead
def tox_extend_envs() -> list[str]:
    """Make the grid's environments known to tox."""
    return [*versions.environments(), *versions.cuda_environments()]


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    """Pin what is in each of them; refuse any other name that is not in tox.ini.

    tox itself accepts whatever looks like an interpreter, such as `py312` or `py312-2.9`, and
    would call it a success after running it without pins.
    """
    in_ini = [section.name for section in state.conf.sections() if section.prefix == "testenv"]
    chosen = []
    for name in getattr(state.conf.options, "env", None) or ():
        if name not in in_ini and not name.startswith("."):
            try:
                versions.pins(name)
            except versions.NoSuchEnvironment as error:
                raise HandledError(f"{error}; or run one of tox.ini: {', '.join(in_ini)}") from None
            chosen.append(name)
    known = versions.grid()["labels"]
    for label in getattr(state.conf.options, "labels", None) or ():
        if label not in known:
            raise HandledError(f"-m {label}: no such label; choose from {', '.join(known)}")
        chosen += known[label]
    for name in chosen if state.conf.options.command not in LOOKING else ():
        if words := versions.missing_python(name):
            raise HandledError(words)
    for name in tox_extend_envs():
        python, *packages = versions.pins(name).items()
        requirements = "\n".join(f"{package}=={pin}" for package, pin in packages)
        state.conf.memory_seed_loaders[name].append(
            MemoryLoader(
                base_python=[f"python{python[1]}"],
                **({"extras": [versions.CUDA, "test"]} if name.endswith(versions.CUDA) else {}),
                deps=PythonDeps(requirements, state.conf.core["tox_root"]),
                description=", ".join(f"{package} {pin}" for package, pin in packages),
                labels=versions.labels(name),
            )
        )
