"""A small residual network with batch normalisation.

Source: He et al., "Deep Residual Learning for Image Recognition" (2016), section 4.2, with fewer
filters and a first stride of 2.
"""

# Compilers take up to a minute for it, so that by default the pair alone is timed.
PAIR_ALONE = True
