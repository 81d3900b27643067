"""One module a case, each with `rows(protocol)`."""
