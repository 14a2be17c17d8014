"""What the daemon serves besides answers: the browser script (built by tracker/build.js) and the demo page."""
