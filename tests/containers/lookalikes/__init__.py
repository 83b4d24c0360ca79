"""Base images under their upstream names, made of Debian packages where no registry answers."""
