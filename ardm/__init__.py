"""The model: orders, stages, budgets, likelihoods, the network, its training, and its exact integer
inference. Knows tensors and bits, never .ardm files.
"""
