"""The simulated robot: scenes, world, expert, judge, and a Gymnasium environment."""
