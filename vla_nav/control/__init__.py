"""Chunk execution, task state and the guard: pure and deterministic, time is an argument."""
