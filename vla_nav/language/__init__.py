"""Instructions: what they mean, how people phrase them, and how a network reads them."""
