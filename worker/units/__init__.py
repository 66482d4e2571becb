"""Local units: the tenancy and unit-patch logic, its store, and the same logic over HTTP.

``tenancy``, ``patch``, ``bulk``, ``access`` and ``fields`` are pure and decide; ``store``, ``rows`` and ``keys``
keep; ``wire`` and ``api`` speak the wire format of the KISS unit API.
"""
