"""A build hook of hatchling: no wheel is built, because the suite runs from its checkout."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CheckoutOnly(BuildHookInterface):  # type: ignore[type-arg]
    """Refuses every build but an editable install."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raise RuntimeError unless the install is editable."""
        if version != "editable":
            raise RuntimeError(
                "this suite runs from its checkout: its tests, docs and versions.toml would be "
                "missing in a wheel; clone the repository, then run: pip install -e ."
            )
