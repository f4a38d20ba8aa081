"""Training: data, schedules, checkpoints, commands."""
