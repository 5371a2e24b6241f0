"""The command line: every verb asks a running gateway over the control channel, as the window does, and prints the answer. What needs a
person's grant is said to the keeper first, past the engine; `confirm` asks the keeper alone.

`arguments` says what can be typed, `verbs` does it, `follow` watches live, `text` lays out, `typed` reads keys and passphrases,
`ready` is `serve`'s one line as JSON.
What must not live here: SQL, secrets on the command line, a second way of doing what the engine does. `serve` and the window are
handed to the keeper. Imports are late, because `--help` and `status` must be quick and the keeper's process must stay small.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import AppError

if TYPE_CHECKING:
    from argparse import Namespace

OK, FAILED, USAGE, GATEWAY, KEYS, INTERRUPTED = 0, 1, 2, 3, 4, 130
TAMPERED = 1  # what every check of evidence says; 2 is incomplete


def main(argv: list[str]) -> int:
    """Runs one command; the exit code. Errors are one line on standard error, never a trace."""
    from app.cli.arguments import parse  # noqa: PLC0415

    for stream in (sys.stdout, sys.stderr):
        # A name with a letter that the terminal's encoding lacks must not end the program.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")
    as_json = "--json" in argv
    try:
        options = parse(argv)
        if options.verb in (None, "serve"):
            return _keep(options)
        from app.cli.verbs import perform  # noqa: PLC0415

        return perform(options)
    except SystemExit as stop:  # argparse: help was printed, or the usage was wrong and said so
        return stop.code if isinstance(stop.code, int) else USAGE
    except AppError as error:
        complain(error, as_json=as_json)
        return exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return OK
    except Exception as error:  # noqa: BLE001  the edge of the process: one line instead of a trace
        complain(AppError("internal", f"This should not have happened ({_place(error)}).", "Please report it."), as_json=as_json)
        return FAILED


def exit_code(error: AppError) -> int:
    if error.code == "engine_absent":
        return GATEWAY
    return KEYS if error.code.startswith("vault_") else FAILED


def complain(error: AppError, *, as_json: bool) -> None:
    from app.cli.text import plain  # noqa: PLC0415

    if as_json:
        import json  # noqa: PLC0415

        line = json.dumps({"error": {"code": error.code, "message": error.message, "hint": error.hint}})
    else:
        line = f"gatehouse: {plain(error.sentence())}"
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def data_dir(options: Namespace) -> Path:
    from app.system.paths import default_data_dir  # noqa: PLC0415

    given: str | None = options.data_dir
    return default_data_dir() if given is None else Path(given).expanduser().absolute()


def _keep(options: Namespace) -> int:
    from app.keeper.main import Options, run  # noqa: PLC0415

    started = Options(
        data_dir=data_dir(options),
        port=4141 if options.port is None else options.port,
        port_fixed=options.port is not None,
        vault=options.vault or "auto",
        passphrase_file=None if options.passphrase_file is None else Path(options.passphrase_file).expanduser().absolute(),
        window=options.verb is None,
    )
    if not options.json:
        return run(started)
    import contextlib  # noqa: PLC0415

    from app.cli.ready import JsonLines  # noqa: PLC0415

    with contextlib.redirect_stdout(JsonLines(sys.stdout)):
        return run(started)


def _place(error: Exception) -> str:
    """The kind of error and where it was raised; not its text, which may hold what a person typed."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return f"{type(error).__name__}{where}"


def _drop_output() -> None:
    """The reader of our output has gone (`| head`): point the descriptor elsewhere, or Python complains when it flushes at exit."""
    import os  # noqa: PLC0415

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
