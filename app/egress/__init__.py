"""The only door out.

`guard` decides (pure, used by the keeper), `door` asks the keeper for a connected socket, `upstream` speaks HTTP/1.1 over it.
Nothing here looks up a name or connects on its own: that is the keeper's, in one file. No proxies, no redirects, no cookies.
"""
