"""Bring-up: the graph once as data, and the supervisor that runs it without ROS's launch."""
