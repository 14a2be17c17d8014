"""The ring: one file per worker slot, one writer, one reader, no lock. It is the write-ahead log.

``layout`` is the format, ``writer`` and ``reader`` work on any buffer, ``file`` makes, maps and
locks the files, ``tools`` looks at them for ``trackflow ring``.
"""
