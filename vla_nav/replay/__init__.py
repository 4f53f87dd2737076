"""A recorded bag through the policy and the guard again, without ROS, and what comes of it."""
