"""Collect the plan, run it interleaved in worker processes, replay it into pytest-benchmark."""
