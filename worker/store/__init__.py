"""The store: what is true. SQLite or PostgreSQL behind the same statements."""
