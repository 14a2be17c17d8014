"""``trackflow doctor``: is this machine fit for a daemon, and is there one that is well?

``facts`` looks (files, kernel, clock, store), ``checks`` judges what was seen, without looking anywhere itself.
"""
