"""The page of a run that works: drawn into its folder, and served on this machine."""
