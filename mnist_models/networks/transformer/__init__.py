"""A small vision transformer: 16 patches, two blocks that normalise first.

Source: Dosovitskiy et al., "An Image is Worth 16x16 Words" (2021), with the mean over all tokens
in place of a class token.
"""

# Compilers take up to a minute for it, so that by default the pair alone is timed.
PAIR_ALONE = True
