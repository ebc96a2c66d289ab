"""All that knows pytest and pytest-benchmark: options, selection, replay, saving, summary."""
