"""Receive mail over SMTP: limits, recipient check, strict line ends, and a 250 only for what is on disk."""
