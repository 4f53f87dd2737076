"""Training and measuring the track policy on a donkeycar tub."""
