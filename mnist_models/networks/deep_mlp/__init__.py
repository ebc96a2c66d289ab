"""A perceptron with three hidden layers of 512, 256 and 128 units."""
