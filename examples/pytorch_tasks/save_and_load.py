"""Save a model to a file, and get it back from there."""

import torch

from examples.pytorch_tasks.define import build_model


# The file holds the weights alone; the code that defines the model must be at hand.
def save(model, path):
    torch.save(model.state_dict(), path)


def load(path):
    model = build_model()
    model.load_state_dict(torch.load(path, weights_only=True))
    return model


if __name__ == "__main__":
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.pt")
        save(build_model(), path)
        print(load(path))
