"""Everything that uses pytest and pytest-benchmark: options, replay, saving, summary."""
