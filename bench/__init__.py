"""Figures against their bars, as ratios within one run: never a timed test."""
