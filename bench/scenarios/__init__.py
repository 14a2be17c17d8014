"""What TrackFlow does and costs under one kind of load each: ``python -m bench run``.

==================  =================================================================================
figures             measurements → medians with spread, percentile curves, the document. Pure
frame               what a scenario is, what it was asked for, what it has measured
processes           CPU time and resident memory of the daemon's processes; cores
server              a daemon of the scenario's own, and one measurement against it
spoiled, spoiler    a store that can be slowed and cut: the server, the proxy before it
fill                fills an embedded store through the sink (a process of its own)
single … growth     the scenarios, one file each; ``registry`` lists them
cli                 options, progress, tables, exit code
==================  =================================================================================
"""
