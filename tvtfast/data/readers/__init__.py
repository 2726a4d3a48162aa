"""One module per data set layout; each turns what lies on disk into a ``VisionDataset``."""
