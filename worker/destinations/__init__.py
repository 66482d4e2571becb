"""Where calls go: one small protocol (``base``) and an adapter a kind."""
