"""The comparison of the implementations. It imports no framework."""
