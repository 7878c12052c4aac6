"""What users would pick instead, at the same job, beside Stillwatch: ``python -m benchmarks.peers``."""
