"""Real operating systems as guests: unmodified images out of Debian's packages."""
