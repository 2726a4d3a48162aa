"""What goes wrong with a score store."""


class StoreError(RuntimeError):
    """The score store cannot be read or written."""
