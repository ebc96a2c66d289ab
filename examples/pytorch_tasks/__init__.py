"""One file per task, as PyTorch's users write it. Images are (n, 1, 28, 28), labels int64 (n,)."""
