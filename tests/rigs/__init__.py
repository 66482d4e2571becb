"""What the tests stand on: real servers, started on loopback and ended again."""
