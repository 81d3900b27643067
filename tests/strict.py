"""The run-time type checker of the test suite."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""beartype with the numeric tower: an int passes where a float is asked."""
