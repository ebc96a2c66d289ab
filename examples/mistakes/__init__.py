"""Common mistakes, the same ones in both frameworks, and what would name the culprit.

A mistake is a function of training images, their labels (int64, n) and test images that returns the
class it predicts for each of the latter. Its docstring is the mistake's title.
"""

from collections.abc import Callable
from typing import Any


class CannotHappen(Exception):
    """Raised by a mistake that has no counterpart in this framework; says why."""


def accepted(reason: str) -> Callable[[Any], Any]:
    """Mark a mistake of the other framework only: this one accepts it, and the result is right."""

    def mark(mistake: Any) -> Any:
        mistake.accepted = reason
        return mistake

    return mark


CONTROL = "nothing_wrong"
# Of each mistake a regular expression, the same for both frameworks: a message names the culprit if
# this occurs anywhere in it. Sizes are those that were given, not those that would have been right;
# a whole shape is asked for with its brackets, lest it be found by chance within another.
CULPRITS = {
    "flattened_images": r"\b784\b",
    "channels_at_the_wrong_end": r"\b(1, 28, 28|28, 28, 1)[\])]",
    "no_channel_axis": r"(?i)[\[(](\d+|none), 28, 28[\])]",
    "a_single_image": r"[\[(](1, 28, 28|28, 28, 1)[\])]",
    "float64_images": r"(?i)\b(double|float64)\b",
    "bytes_as_images": r"(?i)\b(byte|unsigned char|uint8)\b",
    "nan_in_an_image": r"(?i)\bnan\b",
    "float_labels": r"(?i)\bfloat",
    "one_hot_labels": r"(?i)\b(target|label)s?\b.{0,20}\b(\d+|none), 10[\])]|one.hot",
    "integer_one_hot_labels": r"(?i)\b(target|label)s?\b.{0,40}(, 10[\])]|\b(long|int64)\b)",
    "labels_not_one_hot": r"(?i)\b(target|label)s?\b.{0,20}\((\d+|none),\)|one.hot",
    "label_out_of_range": r"(?i)\b(label|target)\b.{0,20}\b10\b",
    "one_label_too_few": r"\b3999\b",
    "labels_of_other_images": r"(?i)\blabel",
    "softmax_before_the_loss": r"(?i)softmax",
    "logits_taken_for_probabilities": r"(?i)logit",
    "gradients_not_reset": r"(?i)zero_grad|accumulat",
    "model_not_compiled": r"(?i)compile",
    "no_optimizer": r"(?i)optimizer",
    "optimizer_of_another_model": r"(?i)optimizer",
    "learning_rate_too_large": r"(?i)learning.rate|\blr\b",
    "data_not_shuffled": r"(?i)shuffl",
    "sizes_of_layers": r"\b100(?!\d)",
    "layers_in_a_list": r"(?i)\blist\b",
    "untrained_variable": r"(?i)kernel|weight|variable",
    "weights_of_another_network": r"\b100\b",
    "training_mode_left_on": r"(?i)training|\beval\b|dropout",
}
