"""The base of all rooms: compiled kernels and their cache, random numbers, array types, counters, plug-ins."""
