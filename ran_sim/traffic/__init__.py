"""Packets: their arrival, their queues, and playout of video at the UE."""
