"""LeNet-5 with ReLU and max-pooling in place of the sigmoids and the subsampling of its day.

Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition" (1998), figure 2.
"""
