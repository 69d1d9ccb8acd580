"""Fine-tuning: an encoder and a linear layer are trained together on a task."""
