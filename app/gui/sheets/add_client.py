"""Add a client: name it, then its key is shown once, with what a program needs beside it."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.control.contract import ClientKey
from app.core.errors import AppError
from app.core.secret import Secret
from app.gui.clipboard import Clipboard
from app.gui.fields import Field, Segmented
from app.gui.labels import Label, Line, Run
from app.gui.session import Session
from app.gui.sheet import Sheet
from app.gui.state import State, base_url, curl_example
from app.gui.widgets import Button, row_of
from app.gui.words import tr

# Snippets name this variable, never the key: the key is copied by itself alone.
_VARIABLE: Final = "GATEHOUSE_KEY"


def snippets(state: State) -> tuple[tuple[str, str], ...]:
    """(name, text): how programs are pointed here. They name the key's variable, never the key."""
    openai, anthropic = base_url(state, "openai"), base_url(state, "anthropic")
    variables = (
        f"export OPENAI_BASE_URL={openai}\nexport OPENAI_API_KEY=${_VARIABLE}\n"
        f"export ANTHROPIC_BASE_URL={anthropic}\nexport ANTHROPIC_API_KEY=${_VARIABLE}"
    )
    python = (
        f'client = openai.OpenAI(base_url="{openai}", api_key=os.environ["{_VARIABLE}"])\n'
        f'client = anthropic.Anthropic(base_url="{anthropic}", api_key=os.environ["{_VARIABLE}"])'
    )
    return (tr("Variables"), variables), ("curl", curl_example(state)), ("Python", python)


class AddClientSheet(Sheet):
    def __init__(self, session: Session, clipboard: Clipboard, parent: QWidget) -> None:
        super().__init__(
            tr("Add client"),
            tr("Each program gets a key of its own, so that it can be told apart and blocked alone."),
            width=640,
            parent=parent,
        )
        self._session = session
        self._clipboard = clipboard
        self._key: Secret | None = None
        self._copied = False
        self._warned = False
        self._field = Field(tr("Name"), help_=tr("For example the program's name: Claude Code, scripts, notebook."), parent=self.frame)
        self.body.addWidget(self._field)
        self._shown = QWidget(self.frame)
        self._shown.hide()
        self.body.addWidget(self._shown)
        self.consequence.setText(tr("Writes 1 audit entry: client added."))
        self._cancel = self.add_cancel()
        self._add = self.add_button(tr("Add client"), "primary")
        self._add.clicked.connect(self._on_add)

    def first(self) -> QWidget:
        return self._field.line

    def submit(self) -> None:
        if self._key is None:
            self._on_add()

    def may_close(self) -> bool:
        """A key that was not copied is asked about once, because it cannot be shown again."""
        if self._key is not None and not self._copied and not self._warned:
            self._warned = True
            self.consequence.setText(tr("The key was not copied and cannot be shown again. Close once more to leave it."))
            self.consequence.set_ink("wa")
            return False
        return True

    def forget(self) -> None:
        self._key = None
        if hasattr(self, "_key_line"):
            self._key_line.setText("")

    @Slot()
    def _on_add(self) -> None:
        if not self._add.isEnabled():
            return
        name = self._field.text()
        snapshot = self._session.state.snapshot
        if not name:
            self._wrong(tr("Give it a name."))
        elif snapshot is not None and any(client.name == name for client in snapshot.clients):
            self._wrong(tr("There is already a client called {name}.", name=name))
        else:
            self._field.set_error("")
            self._add.setEnabled(False)
            self._add.setText(tr("Adding…"))
            self._session.add_client(name, self._on_added, self._on_failed)

    def _wrong(self, words: str) -> None:
        self._field.set_error(words)
        self._field.line.setFocus()
        self.refit()

    def _on_failed(self, error: AppError) -> None:
        self._add.setEnabled(True)
        self._add.setText(tr("Add client"))
        self._wrong(error.sentence())

    def _on_added(self, made: ClientKey) -> None:
        self._key = Secret(made.key)
        self.title.setText(tr("{name} has its key", name=made.client.name))
        self.explanation.setText(tr("This is the only time it is shown. Gatehouse keeps a fingerprint of it, not the key."))
        self._field.hide()
        self._add.hide()
        self._build_shown(made.key)
        self._shown.show()
        self._cancel.setText(tr("Done"))
        self.consequence.setText(tr("A copied key leaves the clipboard after 30 seconds."))
        self._copy_key.setFocus()
        self.refit()

    def _build_shown(self, key: str) -> None:
        column = QVBoxLayout(self._shown)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(14)
        named = QVBoxLayout()
        named.setSpacing(4)
        named.addWidget(Label(tr("Key"), "smallstrong", "tx", self._shown))
        self._key_line = Label(key, "mono", "tx", self._shown).selectable()
        self._key_line.setAccessibleName(tr("Key of the client"))
        self._copy_key = Button(tr("Copy key"), "primary", glyph="copy", parent=self._shown)
        self._copy_key.clicked.connect(self._on_copy_key)
        row = row_of(_boxed(self._key_line, self._shown), self._copy_key)
        row.setStretch(0, 1)
        named.addLayout(row)
        column.addLayout(named)

        for dialect, label in (("openai", tr("Base URL for OpenAI clients")), ("anthropic", tr("Base URL for Anthropic clients"))):
            url = base_url(self._session.state, "openai" if dialect == "openai" else "anthropic")
            line = Label(url, "mono", "tx", self._shown).selectable()
            copy = Button(tr("Copy"), glyph="copy", parent=self._shown)
            copy.setAccessibleName(tr("Copy {what}", what=label))
            copy.setProperty("text_to_copy", url)
            copy.clicked.connect(self._on_copy_text)
            block = QVBoxLayout()
            block.setSpacing(4)
            block.addWidget(Label(label, "smallstrong", "tx", self._shown))
            row = row_of(_boxed(line, self._shown), copy)
            row.setStretch(0, 1)
            block.addLayout(row)
            column.addLayout(block)

        self._snippets = snippets(self._session.state)
        choice = Segmented([name for name, _text in self._snippets], tr("Kind of snippet"), self._shown)
        choice.chosen.connect(self._on_snippet)
        copy = Button(tr("Copy"), "ghost", glyph="copy", small=True, parent=self._shown)
        copy.setAccessibleName(tr("Copy the snippet"))
        copy.clicked.connect(self._on_copy_snippet)
        column.addLayout(row_of(choice, None, copy))
        self._snippet = Line((), "mono", self._shown)
        column.addWidget(_boxed(self._snippet, self._shown))
        self._on_snippet(0)

    @Slot(int)
    def _on_snippet(self, index: int) -> None:
        self._snippet.set_runs((Run(self._snippets[index][1], mono=True),))
        self.refit()

    @Slot()
    def _on_copy_key(self) -> None:
        if self._key is not None:
            self._clipboard.copy_secret(self._key.reveal())
            self._copied = True
            self._copy_key.setText(tr("Copied"))
            self._copy_key.set_glyph("check")
            self.consequence.setText(tr("It leaves the clipboard in 30 seconds."))
            self.consequence.set_ink("tx3")

    @Slot()
    def _on_copy_text(self) -> None:
        sender = self.sender()
        if sender is not None:
            self._copy(str(sender.property("text_to_copy")))

    @Slot()
    def _on_copy_snippet(self) -> None:
        self._copy(self._snippet.text())

    def _copy(self, text: str) -> None:
        """Takes the key's place on the clipboard, so the words about the key and its button go back."""
        self._clipboard.copy(text)
        self._copy_key.setText(tr("Copy key"))
        self._copy_key.set_glyph("copy")
        self.consequence.setText(
            tr("Copied. {variable} in it stands for the key.", variable=_VARIABLE) if _VARIABLE in text else tr("Copied.")
        )
        self.consequence.set_ink("tx3")


def _boxed(widget: QWidget, parent: QWidget) -> QFrame:
    box = QFrame(parent)
    box.setProperty("role", "code")
    layout = QHBoxLayout(box)
    layout.setContentsMargins(12, 6, 12, 6)
    layout.addWidget(widget)
    return box
