"""Stand-ins: real listening servers that behave like the APIs that this project writes to, well or badly.

``registry`` names them and says what one is made of; ``faults`` is the wrapper that makes each of them fail on request
and keeps its log; ``serve`` listens. One module a product (``kiss``, ``http_*``).
"""
