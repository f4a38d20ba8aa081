"""Networks in exact integer arithmetic: weights, bounds, and the ways to compute, all of which give the same
integers.
"""
