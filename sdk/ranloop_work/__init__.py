"""Work on several machines: the workers of a dask cluster, and shards for the jobs of a batch system.

A package of its own, because `ran_sim` and `ranloop` both use it and neither imports the other.
"""

from ranloop_work.cluster import Cluster, check_alike
from ranloop_work.errors import WorkError
from ranloop_work.parcel import UNCOPIED, Parcel
from ranloop_work.shard import Shard, shards_left

__all__ = ("UNCOPIED", "Cluster", "Parcel", "Shard", "WorkError", "check_alike", "shards_left")
