"""Training: imitation, DAgger, memory, fine-tuning, export."""
