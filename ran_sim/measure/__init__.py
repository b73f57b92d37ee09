"""Readings of a running network: granularity periods, KPM and layer-1 measurements, the score."""
