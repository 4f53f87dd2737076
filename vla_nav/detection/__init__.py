"""The detector: its networks, how they are trained and compiled, and how they run on a robot."""
