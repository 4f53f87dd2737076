"""Detectors by torch and ultralytics: levels, training, export. Never on the robot's path."""
