"""Mergeable state: panes, links, deltas and the watermark."""
