"""The operator API at ``/ops/v1``: thin routes over the functions that the command line uses, too."""
