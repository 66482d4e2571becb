"""The half that touches the world: receives, keeps, rings, orders, applies and records."""

__version__ = "0.1.0"
