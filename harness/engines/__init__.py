"""The engines: one file each, one contract (``base``)."""
