"""From a trained detector to an NPU: int8 graphs, compilers, operator rules, and the search."""
