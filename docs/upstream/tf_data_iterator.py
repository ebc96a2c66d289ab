"""Deleting an autotuned tf.data iterator takes up to as long as it was used."""

import time

import tensorflow as tf

endless = tf.data.Dataset.range(10**9).map(lambda x: x + 1, num_parallel_calls=tf.data.AUTOTUNE)
plain = tf.data.Options()
plain.autotune.enabled = False
for name, dataset in (("autotuned", endless), ("not autotuned", endless.with_options(plain))):
    for used in (0.4, 0.7, 1.5, 3.0):
        iterator, began = iter(dataset), time.monotonic()
        while time.monotonic() - began < used:
            next(iterator)
        began = time.monotonic()
        del iterator
        print(f"{name}, used for {used} s: deleted in {time.monotonic() - began:.3f} s")
