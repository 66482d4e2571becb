"""The web port: health, metrics, the local units, and later the console."""
