"""Measuring a policy: metrics, baselines, closed loop, offline, pages and the results table."""
