"""The language between the engine and whoever steers it: window, command line and tests alike.

`contract` says what can be asked and what is answered; `client` asks. HTTP on a unix socket in a folder of the person's own
(on Windows: loopback with a token from a file only they can read). Commands go down, a snapshot and then events come up.
"""
