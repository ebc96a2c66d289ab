"""A network whose training and inference differ, with weights that are not trained."""
