"""Where calls go: one small protocol (``worker/calls.py``) and an adapter a kind."""
