"""What every room may use: files, hashes, the machine, logging. It knows nothing of the rest."""
