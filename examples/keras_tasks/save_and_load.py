"""Save a model to a file, and get it back from there."""

import keras


# The file holds the architecture, too, how the model was compiled, and the optimiser's state. Its
# name must end in .keras.
def save(model, path):
    model.save(path)


def load(path):
    return keras.models.load_model(path)


if __name__ == "__main__":
    import tempfile
    from pathlib import Path

    from examples.keras_tasks.define import build_model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        save(build_model(), path)
        load(path).summary()
