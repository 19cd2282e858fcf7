"""A benchmark against ground truth: methods, metrics, and the runner behind ``humanref evaluate``."""
