"""A perceptron with one hidden layer of 512 units, as in many introductions."""
