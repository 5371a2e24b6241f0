"""The window: pixels and tray, in a process of its own.

It knows the engine only through `app.control` and the keeper only through the channel it inherits; never SQL, secrets or providers.
Commands go down (`session`, in worker threads), a snapshot and then events come up; a page renders snapshots and never edits its own
view after a command. Each page is one file: first a pure `present(state, ...) -> View`, then the widget that shows a `View`; the large
pages have some parts in files of their own, named below.

    main      boots: channel, theme, window, tray           session   follows the engine and the keeper; the one `State`
    sweeper   the cycle collector, on the right thread      notices   what the window says at the top of a page
    state     what is known, as one value; the state pill   tasks     commands in worker threads
    window    sidebar, header, pages, sheets, shortcuts     tray      the icon in the system's tray, where there is one
    theme     tokens, fonts, palette, style sheet           glyphs    names of icon glyphs
    pages     one file each                                 sheets    forms and questions over a page; `forms` opens them
    overview, accounts, exchanges, inspector, format        what is shown of a value, in words
    labels, widgets, fields, cells, tables, charts, cards   the parts pages are made of
    requests, finding, spans, tail, counting, filterbar     Activity: words, filter, times, rows that are loaded, counts, menus
    strip, curl                                             Activity: its bars; a request as a command
    exporting, writing                                      what leaves the window as files, and the keeper's writer of them
    spending, stacked                                       Usage: sums in words, and its bars
    leaving, checks, lines                                  Network: words, commands for others' tools, cards of lines
    audit_log, audit_bar, audit_rows                        Audit: the timeline, what is wanted of it, its lines and folded runs
    entries, entry_detail, integrity, promises              Audit: an entry in words and in full, the verdict, privacy

What must not live here: anything that opens a socket, writes a file of a person's, reads the database or knows a provider; QtNetwork,
QML, WebEngine. Text from a model, a provider or an error is shown as plain text only.
"""
