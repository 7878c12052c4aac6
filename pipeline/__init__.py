"""Stillwatch: streaming log analytics that tells which API accounts are distilling a model."""

__version__ = "0.1.0"
