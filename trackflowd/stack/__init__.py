"""The stack: stores, monitoring and the daemon as containers of a Docker engine, for development and tests.

``plan`` reads the stack file, ``engine`` is the one that knows Docker's library, ``phase`` says what a container's
record becomes of what the engine reports, ``book`` keeps the records, ``crew`` moves the containers along.
"""
