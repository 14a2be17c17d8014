"""What the daemon serves besides answers: the browser script (built by tracker/build.py) and the demo page."""
