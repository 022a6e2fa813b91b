"""A class that has no base."""

from archspec import expert


@expert("mistake")
class Mistake:
    pass
