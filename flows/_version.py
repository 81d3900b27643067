"""The version of the distribution, in this one place."""

__version__ = "0.1.0.dev0"
