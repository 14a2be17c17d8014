"""Traffic that looks real, sent as fast as it goes or at a fixed rate, and timed.

===============  ====================================================================================
draw, tables     weighted draws; the tables of agents, countries, sources, bots
model            seed in, hits out: who visits which page when. Pure
wire             hits → requests as bytes, with room for fresh event ids. Pure
histogram        latencies in bounded memory. Pure
answers          bytes → answers. Pure
loop             sends and times, closed or open; clock and network are given to it
network          real sockets for the loop
target           the daemon under test, a running one, or a responder that does nothing
report, cli      progress, table, document; options and exit code
===============  ====================================================================================
"""
