"""What a robot's recordings say of a day in the field: real time, stops, successes."""
