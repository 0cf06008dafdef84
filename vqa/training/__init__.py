"""Training on accelerate: data, targets, losses, the trainer, checkpoints of a run and model cards."""
