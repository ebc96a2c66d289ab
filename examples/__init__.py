"""The same tasks and the same mistakes in both frameworks: `python -m examples` measures them."""
