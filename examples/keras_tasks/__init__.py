"""One file per task, as Keras's users write it. Images are (n, 28, 28, 1), labels int64 (n,)."""
