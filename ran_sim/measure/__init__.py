"""What is read from a running network: granularity periods, KPM and layer-1 measurements, the score."""
