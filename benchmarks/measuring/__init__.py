"""Plan a session, run it interleaved in worker processes, and collect its results."""
