"""The names of Keras's weights, and their shared names. Keras's own layout is the shared one."""

import keras


def names_of(layer: keras.Layer) -> list[str]:
    """The shared name of each of `layer.weights` within the layer, such as "query_kernel".

    Some layers hold others. The name of an LSTM's cell is left out, and the names of an attention's
    projections are kept.
    """
    found = []
    for weight in layer.weights:
        _, _, inner = f"/{weight.path}".partition(f"/{layer.name}/")
        found.append("_".join(part for part in inner.split("/") if not part.endswith("_cell")))
    return found


def names(model: keras.Model) -> list[str]:
    """The shared name of each of `model.weights`, such as "block1_attention/query_kernel".

    A weight is identified by its path in Keras.
    """
    known = {
        weight.path: f"{layer.name}/{name}"
        for layer in model.layers
        for weight, name in zip(layer.weights, names_of(layer), strict=True)
    }
    return [known[weight.path] for weight in model.weights]
