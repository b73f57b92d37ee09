"""The power that a cell draws, and its sleep."""
