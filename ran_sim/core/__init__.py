"""What every room stands on: compiled kernels and their cache, random numbers, array types, counters, plug-ins."""
