"""A recurrent network that reads an image as a sequence of 28 rows.

Source of the task: Le et al., "A Simple Way to Initialize Recurrent Networks of Rectified Linear
Units" (2015), which reads single pixels.
"""

# Compilers take up to a minute for it, so that by default the pair alone is timed.
PAIR_ALONE = True
